package readme

// By says who makes sure that a command works.
type By int

const (
	// Script commands are typed by the script readme of cmd/fairlead's TestScripts,
	// which fails if it leaves one out.
	Script By = iota + 1
	// Cluster commands are typed on real pods, by the scenario readme of hack/e2e,
	// which fails if it leaves one out.
	Cluster
	// Elsewhere means that a test does the same in another way; Why names it.
	Elsewhere
	// Nobody types it in a test; Why says why not.
	Nobody
)

// Entry says what is known of one command.
type Entry struct {
	Page, Text string
	By         By
	// Test is what Elsewhere means: a folder and a test in it.
	Test string
	// Why says, for Elsewhere and Nobody, what a reader of this list would ask.
	Why string
}

// Pages are the pages for users. Those below hack/ are for who works on Fairlead:
// of theirs only the targets of make are checked.
func Pages() []string {
	return []string{
		"README.md", "api/README.md", "charts/fairlead/README.md", "config/README.md", "config/TROUBLESHOOTING.md",
		"config/UPGRADE.md", "config/gitops/README.md", "config/samples/moderator/README.md",
		"controllers/README.md", "receiver/README.md", "receiver/admin/v1/README.md",
	}
}

// Register returns an entry for each command of Pages.
func Register() []Entry {
	var all []Entry
	for _, part := range [][]Entry{front(), moderator(), install(), chart(), receivers(), admin()} {
		all = append(all, part...)
	}
	return all
}

const (
	played = "bin/fairlead send stream-chat --to http://127.0.0.1:8080/stream --secret not-a-real-stream-secret-0123456789"
	asked  = played + " --hook before-message-send --text "
)

func front() []Entry {
	const page = "README.md"
	return []Entry{
		{Page: page, Text: "make fairlead", By: Nobody, Why: "it is how the program comes to be; the script types what it makes, built by go test"},
		{Page: page, Text: "make demo", By: Elsewhere, Test: "cmd/fairlead/demo TestDemo", Why: "the same program, without another build"},
		{Page: page, Text: "make test", By: Nobody, Why: "it is what runs this test, and what continuous integration runs"},
		{Page: page, Text: "bin/fairlead run -f config/samples/first/chat.yaml", By: Script},
		{Page: page, Text: played, By: Script},
		{Page: page, Text: played + " --forge", By: Script},
		{Page: page, Text: "curl http://127.0.0.1:8081/statusz", By: Script},
		{Page: page, Text: "make images images-push IMAGE_TAGS=v0.1.0 TO=registry.example.com/fairlead", By: Elsewhere, Test: "hack/images TestPush",
			Why: "there is no such registry; hack/e2e packs the images and brings them to the node under these names"},
		{Page: page, Text: "helm install fairlead charts/fairlead --namespace fairlead-system --create-namespace --wait --set global.imageRegistry=registry.example.com", By: Cluster},
		{Page: page, Text: "kubectl apply -f config/samples/first/chat.yaml", By: Cluster},
		{Page: page, Text: "kubectl wait webhookendpoint/chat --for=condition=Ready --timeout=3m", By: Cluster},
		{Page: page, Text: "kubectl port-forward service/chat-receiver 8080:80", By: Cluster},
		{Page: page, Text: played, By: Cluster},
		{Page: page, Text: "kubectl logs -l fairlead.dev/endpoint=chat --tail=5", By: Cluster},
		{Page: page, Text: "kubectl get webhookendpoints", By: Cluster},
		{Page: page, Text: "kubectl describe webhookendpoint chat", By: Cluster},
		{Page: page, Text: "kubectl delete -f config/samples/first/chat.yaml", By: Cluster},
		{Page: page, Text: "helm uninstall fairlead --namespace fairlead-system", By: Cluster},
	}
}

func moderator() []Entry {
	const page = "config/samples/moderator/README.md"
	return []Entry{
		{Page: page, Text: "go run ./config/samples/moderator --listen 127.0.0.1:9200 --mask heck --refuse pills", By: Elsewhere,
			Test: "config/samples/moderator TestServe", Why: "the script has the same moderator with the same words, in its own process"},
		{Page: page, Text: "bin/fairlead run -f config/samples/moderator/local.yaml", By: Script},
		{Page: page, Text: asked + `"what the heck"`, By: Script},
		{Page: page, Text: asked + `"cheap pills"`, By: Script},
	}
}

func install() []Entry {
	const page = "config/README.md"
	const applied = "on a control plane, with config/default as it stands"
	return []Entry{
		{Page: page, Text: "kubectl apply --server-side -k .", By: Elsewhere, Test: "controllers/e2e TestKubectl", Why: applied},
		{Page: page, Text: "kubectl -n fairlead-system rollout status deployment/fairlead-operator", By: Elsewhere, Test: "controllers/e2e TestKubectl", Why: applied},
		{Page: page, Text: "kubectl apply --server-side -k config/namespaced", By: Elsewhere, Test: "controllers TestNamespaces",
			Why: "an operator with these Roles only; config renders the kustomization (TestNamespacedGrantsTheSame)"},
		{Page: page, Text: "kubectl delete webhookendpoints --all --all-namespaces", By: Elsewhere, Test: "controllers/e2e TestDelete", Why: "an endpoint goes, and all that it made"},
		{Page: page, Text: "kubectl delete -k config/default", By: Elsewhere, Test: "config TestWhole", Why: "it removes what is rendered"},
		{Page: page, Text: "kubectl get persistentvolumeclaims -A -l fairlead.dev/endpoint", By: Elsewhere, Test: "controllers/e2e TestPersistent", Why: "claims have the label and stay"},
		{Page: page, Text: "kubectl -n community create rolebinding chat-team --clusterrole=fairlead-endpoint-editor --group=chat-team", By: Elsewhere,
			Test: "config TestRolesGrantNothingMore", Why: "the role is there; whom it is bound to is made up"},
		{Page: page, Text: "fairlead render -f config/samples/cluster/stripe-cluster-ip.yaml", By: Script},
		{Page: page, Text: "fairlead validate -f config/samples", By: Script},
		{Page: page, Text: "fairlead run -f config/samples/stream-chat.yaml", By: Script},
		{Page: page, Text: "fairlead send stream-chat --to http://127.0.0.1:8080/stream --secret not-a-real-stream-secret-0123456789 --key exampleapikey", By: Script},
	}
}

func chart() []Entry {
	const page = "charts/fairlead/README.md"
	const installed = "the chart is installed and removed so on real pods by hack/e2e, with values of its own"
	return []Entry{
		{Page: page, Text: "kubectl create namespace fairlead-system", By: Nobody, Why: installed},
		{Page: page, Text: "kubectl label namespace fairlead-system pod-security.kubernetes.io/enforce=restricted", By: Elsewhere,
			Test: "hack/chart/helm TestPodsAreRestricted", Why: "that the operator may run there"},
		{Page: page, Text: "helm install fairlead charts/fairlead --namespace fairlead-system --values my-values.yaml", By: Elsewhere,
			Test: "hack/chart/helm TestCluster", Why: installed},
		{Page: page, Text: "helm upgrade fairlead charts/fairlead --namespace fairlead-system --values my-values.yaml", By: Elsewhere,
			Test: "hack/chart/helm TestCluster", Why: "hack/e2e upgrades on real pods"},
		{Page: page, Text: "kubectl apply --server-side -k config/crd", By: Elsewhere, Test: "config TestEveryKustomization", Why: "it is rendered; tests of the operator apply the same CRDs"},
		{Page: page, Text: "kubectl -n fairlead-system delete deployment fairlead-operator", By: Nobody, Why: "taking over from kubectl is not tried, as the page says"},
		{Page: page, Text: "helm install fairlead charts/fairlead -n fairlead-system --take-ownership --force-conflicts", By: Nobody, Why: "taking over from kubectl is not tried, as the page says"},
		{Page: page, Text: "kubectl delete webhookendpoints --all --all-namespaces", By: Elsewhere, Test: "controllers/e2e TestDelete", Why: "an endpoint goes, and all that it made"},
		{Page: page, Text: "helm uninstall fairlead --namespace fairlead-system", By: Elsewhere, Test: "hack/chart/helm TestCluster", Why: installed},
		{Page: page, Text: "kubectl delete crd webhookendpoints.fairlead.dev webhookproviders.fairlead.dev", By: Nobody, Why: "it needs nothing of ours but the names of the kinds"},
	}
}

func receivers() []Entry {
	const page = "receiver/README.md"
	const script = "the script cluster, with an API server that plays; scenario tool of hack/e2e on real pods"
	var all []Entry
	for _, text := range []string{
		"fairlead status -n community chat",
		"fairlead deadletters list -n community chat",
		"fairlead deadletters replay -n community chat --sink app --yes",
		"fairlead deadletters show -n community chat --pod chat-receiver-6f9c48dcd7-kzgql app/12",
	} {
		all = append(all, Entry{Page: page, Text: text, By: Elsewhere, Test: "cmd/fairlead TestScripts", Why: script})
	}
	return all
}

func admin() []Entry {
	const page = "receiver/admin/v1/README.md"
	const base = "'http://127.0.0.1:8081/v1/"
	const posted = "curl -H 'Content-Type: application/json' -d '"
	const folder = "receiver/admin/v1 "
	const same = "the same request, through the handler"
	return []Entry{
		{Page: page, Text: "curl " + base + "queue'", By: Elsewhere, Test: folder + "TestQueue", Why: same},
		{Page: page, Text: "curl " + base + "deadletters?sink=app&reason=timeout&newerThan=1h'", By: Elsewhere, Test: folder + "TestDeadLetters", Why: same},
		{Page: page, Text: "curl " + base + "deadletters/app/12'", By: Elsewhere, Test: folder + "TestDeadLetter", Why: same},
		{Page: page, Text: posted + `{"ids": ["app/12", "app/15"], "replay": "after-the-fix"}' ` + base + "deadletters/replay'", By: Elsewhere, Test: folder + "TestReplayDeadLetters", Why: same},
		{Page: page, Text: posted + `{"ids": ["app/12"]}' ` + base + "deadletters/drop'", By: Elsewhere, Test: folder + "TestDropDeadLetters", Why: same},
		{Page: page, Text: "fairlead deadletters export --output-file dead.jsonl", By: Elsewhere, Test: "cmd/fairlead TestScripts", Why: "the script deadletters_move"},
		{Page: page, Text: "jq -r '[.deadAt, .sink, .type, .reason] | @tsv' dead.jsonl", By: Nobody, Why: "jq is another program; that the fields are there: TestExportImport"},
		{Page: page, Text: `jq -c 'select(.data.channel_type == "messaging")' dead.jsonl > some.jsonl`, By: Nobody, Why: "jq is another program; that the fields are there: TestExportImport"},
		{Page: page, Text: "curl -H 'Content-Type: application/x-ndjson' --data-binary @some.jsonl " + base + "deadletters/import'", By: Elsewhere, Test: folder + "TestExportImport", Why: same},
		{Page: page, Text: "curl " + base + "events?since=2027-01-31T06:00:00Z&until=2027-01-31T09:00:00Z&type=message.*&sink=app'", By: Elsewhere, Test: folder + "TestEvents", Why: same},
		{Page: page, Text: posted + `{"events": [{"sequence": 17, "sinks": ["app"]}]}' ` + base + "replays'", By: Elsewhere, Test: folder + "TestReplayEvents", Why: same},
		{Page: page, Text: "curl " + base + "quarantine'", By: Elsewhere, Test: folder + "TestQuarantine", Why: same},
		{Page: page, Text: "curl " + base + "quarantine/7'", By: Elsewhere, Test: folder + "TestQuarantine", Why: same},
		{Page: page, Text: posted + `{"all": true}' ` + base + "quarantine/reverify'", By: Elsewhere, Test: folder + "TestReverify", Why: same},
	}
}
