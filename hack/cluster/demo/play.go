package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"slices"
	"strings"

	"k8s.io/apimachinery/pkg/api/meta"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/fairlead-dev/fairlead/api/v1alpha1"
)

const whatIsReal = `Real here: etcd, the API server, Kubernetes' own controllers and scheduler; the
operator, with the rights of its ServiceAccount and no more; every object and every
condition that is shown.
Not real: the node, and so all pods. kwok says of each that it is Ready, and nothing
runs in it: no receiver takes a webhook (see ` + "`make demo`" + ` for that), none can be asked
how it is, and no NetworkPolicy is enforced. The load balancer's address is put in by
this demo, which plays the cloud.`

// What the sample is about.
const (
	sample    = "config/samples/cluster/stream-chat-load-balancer.yaml"
	namespace = "community"
	name      = "messages"
	kinds     = "serviceaccount,configmap,networkpolicy,service,deployment,pod,poddisruptionbudget"
	selector  = "fairlead.dev/endpoint=" + name
	address   = "203.0.113.10" // of a range for documentation
)

// play is the demo from the installation on.
func (s *stage) play(ctx context.Context) (err error) {
	ctx, stop, err := s.install(ctx)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, stop()) }()
	for _, act := range []func(context.Context) error{s.apply, s.look, s.changeRegions, s.mistake, s.remove} {
		if err := act(ctx); err != nil {
			return err
		}
	}
	return nil
}

// install does what config/README.md says, and runs the operator; see operate.
func (s *stage) install(ctx context.Context) (running context.Context, stop func() error, err error) {
	s.chapter("Install")
	err = s.all(ctx,
		[]string{"apply", "--server-side", "-k", "config/default"},
		[]string{"wait", "--for=condition=Established", "crd/webhookendpoints.fairlead.dev", "--timeout=30s"},
		[]string{"-n", "fairlead-system", "scale", "deployment/fairlead-operator", "--replicas=0"})
	if err != nil {
		return nil, nil, err
	}
	s.say("The operator's pods would run nothing either. It runs as a process instead, with a\ntoken of the ServiceAccount that its pods would have.")
	token, err := s.quietly(ctx, "-n", "fairlead-system", "create", "token", "fairlead-operator")
	if err != nil {
		return nil, nil, err
	}
	fmt.Fprintln(s.out, "  (a token, which is not shown)")
	kubeconfig, err := s.asOperator(token)
	if err != nil {
		return nil, nil, err
	}
	return s.operate(ctx, kubeconfig, "--operator-namespace=fairlead-system", "--receiver-image=fairlead/receiver:devel",
		"--metrics-bind-address=0", "--health-probe-bind-address=0")
}

// all shows commands, up to the first that fails.
func (s *stage) all(ctx context.Context, commands ...[]string) error {
	for _, args := range commands {
		if _, err := s.kubectl(ctx, args...); err != nil {
			return err
		}
	}
	return nil
}

// in shows a command in the namespace of the endpoint.
func (s *stage) in(ctx context.Context, args ...string) (string, error) {
	return s.kubectl(ctx, append([]string{"-n", namespace}, args...)...)
}

// await waits for a condition of the endpoint's newest generation.
func (s *stage) await(ctx context.Context, condition string) error {
	_, err := s.in(ctx, "wait", "--for=condition="+condition, "whe/"+name, "--timeout=60s")
	return err
}

func (s *stage) apply(ctx context.Context) error {
	s.chapter("An endpoint: one manifest, and a Secret that the operator cannot read")
	err := s.all(ctx,
		[]string{"create", "namespace", namespace},
		[]string{"-n", namespace, "create", "secret", "generic", "stream-chat", "--from-literal=exampleapikey=not-a-real-stream-secret-0123456789"},
		[]string{"-n", namespace, "apply", "-f", sample})
	if err != nil {
		return err
	}
	if err := s.await(ctx, "Available"); err != nil {
		return err
	}
	// Available is said of the first receiver, and the last may be on its way.
	_, err = s.in(ctx, "wait", `--for=jsonpath={.status.conditions[?(@.type=="Ready")].reason}=`+v1alpha1.ReasonAddressPending, "whe/"+name, "--timeout=60s")
	if err != nil {
		return err
	}
	s.say("Its receivers are there. What is missing says Ready:")
	text, err := s.in(ctx, "get", "whe", name, "-o", `jsonpath={.status.conditions[?(@.type=="Ready")].message}`)
	if err != nil {
		return err
	}
	s.expect(strings.Contains(text, "has no address yet"), "the load balancer has no address yet")
	s.say("The cloud would give the load balancer an address now:")
	_, err = s.in(ctx, "patch", "service", name+"-receiver", "--subresource=status", "--type=merge",
		"-p", `{"status":{"loadBalancer":{"ingress":[{"ip":"`+address+`"}]}}}`)
	if err != nil {
		return err
	}
	return s.await(ctx, "Ready")
}

// look shows the endpoint, what it made, and what it says.
func (s *stage) look(ctx context.Context) error {
	s.chapter("What there is now")
	text, err := s.in(ctx, "get", "whe", "-o", "wide")
	if err != nil {
		return err
	}
	s.expect(strings.Contains(text, "https://messages.example.com/stream") && strings.Contains(text, "True"), "the endpoint is Ready and has its URL")
	text, err = s.in(ctx, "get", kinds, "-l", selector)
	if err != nil {
		return err
	}
	for _, kind := range strings.Split(kinds, ",") {
		s.expect(strings.Contains(text, kind+"/"+name+"-receiver") || strings.Contains(text, kind+".") &&
			strings.Contains(text, "/"+name+"-receiver"), "there is a "+kind)
	}
	ep, err := s.endpoint(ctx)
	if err != nil {
		return err
	}
	s.conditions(ep)
	for _, c := range []string{v1alpha1.ConditionReady, v1alpha1.ConditionAvailable, v1alpha1.ConditionExposed, v1alpha1.ConditionProviderResolved} {
		s.expect(meta.IsStatusConditionTrue(ep.Status.Conditions, c), c+" is True")
	}
	s.expect(ep.Status.SourceRangeCount != nil && *ep.Status.SourceRangeCount == 7, "seven ranges may send")
	return nil
}

func (s *stage) endpoint(ctx context.Context) (*v1alpha1.WebhookEndpoint, error) {
	text, err := s.quietly(ctx, "-n", namespace, "get", "whe", name, "-o", "json")
	if err != nil {
		return nil, err
	}
	ep := &v1alpha1.WebhookEndpoint{}
	if err := json.Unmarshal([]byte(text), ep); err != nil {
		return nil, fmt.Errorf("reading the endpoint: %w", err)
	}
	if ep.Status == nil {
		return nil, errors.New("reading the endpoint: it has no status")
	}
	return ep, nil
}

// width is where the messages of conditions are broken.
const width = 72

// conditions prints a table of them, Ready at its head.
func (s *stage) conditions(ep *v1alpha1.WebhookEndpoint) {
	all := slices.Clone(ep.Status.Conditions)
	slices.SortStableFunc(all, func(a, b metav1.Condition) int {
		switch {
		case a.Type == v1alpha1.ConditionReady:
			return -1
		case b.Type == v1alpha1.ConditionReady:
			return 1
		}
		return 0
	})
	const row = "  %-17s %-8s %-19s %s\n"
	fmt.Fprintf(s.out, row, "CONDITION", "STATUS", "REASON", "MESSAGE")
	for i := range all {
		lines := broken(all[i].Message)
		fmt.Fprintf(s.out, row, all[i].Type, all[i].Status, all[i].Reason, lines[0])
		for _, line := range lines[1:] {
			fmt.Fprintf(s.out, row, "", "", "", line)
		}
	}
}

// broken breaks a text at spaces.
func broken(text string) []string {
	lines := []string{""}
	for word := range strings.FieldsSeq(text) {
		last := &lines[len(lines)-1]
		switch {
		case *last == "":
			*last = word
		case len(*last)+1+len(word) > width:
			lines = append(lines, word)
		default:
			*last += " " + word
		}
	}
	return lines
}

// ranges shows whom the NetworkPolicy lets to the webhook port.
func (s *stage) ranges(ctx context.Context) (string, error) {
	return s.in(ctx, "get", "networkpolicy", name+"-receiver",
		"-o", `jsonpath={.spec.ingress[?(@.ports[0].port==8080)].from[*].ipBlock.cidr}`)
}

// pods shows the receivers, by name and uid.
func (s *stage) pods(ctx context.Context) (string, error) {
	return s.in(ctx, "get", "pods", "-l", selector, "-o", "custom-columns=NAME:.metadata.name,UID:.metadata.uid")
}

func (s *stage) changeRegions(ctx context.Context) error {
	s.chapter("Another region: other addresses may send, and no receiver restarts")
	before, err := s.ranges(ctx)
	if err != nil {
		return err
	}
	s.expect(strings.Contains(before, "34.225.10.29/32"), "an address of us-east may send")
	pods, err := s.pods(ctx)
	if err != nil {
		return err
	}
	if _, err := s.in(ctx, "patch", "whe", name, "--type=merge", "-p", `{"spec":{"regions":["mumbai"]}}`); err != nil {
		return err
	}
	if err := s.await(ctx, "Ready"); err != nil {
		return err
	}
	after, err := s.ranges(ctx)
	if err != nil {
		return err
	}
	s.expect(strings.Contains(after, "65.1.48.87/32") && !strings.Contains(after, "34.225.10.29/32"), "only addresses of mumbai may send")
	same, err := s.pods(ctx)
	s.expect(same == pods, "the pods are the same as before")
	return err
}

func (s *stage) mistake(ctx context.Context) error {
	s.chapter("A mistake: the endpoint says what is wrong, and what runs stays as it was")
	if _, err := s.in(ctx, "patch", "whe", name, "--type=merge", "-p", `{"spec":{"regions":["atlantis"]}}`); err != nil {
		return err
	}
	if err := s.await(ctx, "Stalled"); err != nil {
		return err
	}
	text, err := s.in(ctx, "get", "whe", name, "-o", `jsonpath={.status.conditions[?(@.type=="Stalled")].message}`)
	if err != nil {
		return err
	}
	s.expect(strings.Contains(text, "atlantis") && strings.Contains(text, "us-east"), "the message names the region, and those that there are")
	after, err := s.ranges(ctx)
	s.expect(strings.Contains(after, "65.1.48.87/32"), "addresses of mumbai may send as before")
	return err
}

func (s *stage) remove(ctx context.Context) error {
	s.chapter("Delete it: all that it made goes, and nothing else")
	s.say("(The cluster's garbage collector looks for new kinds twice a minute, so the first\ndeletion after an installation may take that long.)")
	if _, err := s.in(ctx, "delete", "whe", name); err != nil {
		return err
	}
	if _, err := s.in(ctx, "wait", "--for=delete", kinds, "-l", selector, "--timeout=60s"); err != nil {
		return err
	}
	text, err := s.in(ctx, "get", kinds, "-l", selector)
	if err != nil {
		return err
	}
	s.expect(strings.HasPrefix(text, "No resources found"), "nothing is left")
	text, err = s.in(ctx, "get", "secret,whe")
	s.expect(strings.Contains(text, "stream-chat"), "the Secret, which is yours, is there")
	return err
}
