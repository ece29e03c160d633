package main

import (
	"bytes"
	"context"
	"errors"
	"flag"
	"log/slog"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"go.uber.org/goleak"
	corev1 "k8s.io/api/core/v1"
	networkingv1 "k8s.io/api/networking/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/labels"
	"k8s.io/client-go/kubernetes/fake"
	"sigs.k8s.io/yaml"
)

var update = flag.Bool("update", false, "write the golden files")

func TestMain(m *testing.M) {
	goleak.VerifyTestMain(m)
}

// TestRuleset makes the ruleset of each file in testdata: of the pods and namespaces
// that all share (world.yaml), and the policies of the file.
func TestRuleset(t *testing.T) {
	files, err := filepath.Glob("testdata/*.yaml")
	if err != nil || len(files) < 2 {
		t.Fatal(files, err)
	}
	for _, f := range files {
		if filepath.Base(f) == "world.yaml" {
			continue
		}
		t.Run(strings.TrimSuffix(filepath.Base(f), ".yaml"), func(t *testing.T) {
			v := read(t, "testdata/world.yaml", f)
			got := v.ruleset()
			golden(t, strings.TrimSuffix(f, ".yaml")+".nft", got)
			check(t, got)
		})
	}
}

// read returns what the documents of files describe.
func read(t *testing.T, files ...string) view {
	t.Helper()
	v := view{namespaces: map[string]labels.Set{}}
	var pods []*corev1.Pod
	for _, f := range files {
		content, err := os.ReadFile(f)
		if err != nil {
			t.Fatal(err)
		}
		for doc := range bytes.SplitSeq(content, []byte("\n---\n")) {
			var kind metav1.TypeMeta
			decode(t, doc, &kind)
			switch kind.Kind {
			case "Pod":
				pods = append(pods, decode(t, doc, &corev1.Pod{}))
			case "Namespace":
				n := decode(t, doc, &corev1.Namespace{})
				v.namespaces[n.Name] = n.Labels
			case "NetworkPolicy":
				v.policies = append(v.policies, decode(t, doc, &networkingv1.NetworkPolicy{}))
			default:
				t.Fatalf("%s has a %q", f, kind.Kind)
			}
		}
	}
	v.pods = living(pods)
	return v
}

func decode[T any](t *testing.T, doc []byte, into *T) *T {
	t.Helper()
	if err := yaml.Unmarshal(doc, into); err != nil {
		t.Fatal(err)
	}
	return into
}

func golden(t *testing.T, file, got string) {
	t.Helper()
	if *update {
		if err := os.WriteFile(file, []byte(got), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	want, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff(string(want), got); diff != "" {
		t.Errorf("%s (-want +got; -update accepts):\n%s", file, diff)
	}
}

// check has nft judge a ruleset, where that can be.
func check(t *testing.T, ruleset string) {
	t.Helper()
	program, err := exec.LookPath("nft")
	if err != nil || os.Getuid() != 0 {
		t.Log("nft is not asked: it is not here, or this is not root")
		return
	}
	cmd := exec.CommandContext(t.Context(), program, "-c", "-f", "-")
	cmd.Stdin = strings.NewReader(ruleset)
	if out, err := cmd.CombinedOutput(); err != nil {
		t.Errorf("nft says %v: %s", err, out)
	}
}

func TestPrefixes(t *testing.T) {
	for _, tt := range []struct {
		name  string
		cidrs []string
		want  string
	}{
		{"none", nil, ""},
		{"host bits", []string{"10.1.2.3/8"}, "{ 10.0.0.0/8 }"},
		{"within another", []string{"10.2.0.0/16", "10.0.0.0/8", "10.1.0.0/16"}, "{ 10.0.0.0/8 }"},
		{"apart", []string{"192.0.2.1/32", "10.0.0.0/8"}, "{ 10.0.0.0/8, 192.0.2.1 }"},
		{"twice", []string{"192.0.2.1/32", "192.0.2.1/32"}, "{ 192.0.2.1 }"},
		{"IPv6", []string{"2001:db8::/32"}, ""},
		{"no CIDR", []string{"everyone"}, ""},
	} {
		if got := set(prefixes(tt.cidrs...)); got != tt.want {
			t.Errorf("%s: %q, want %q", tt.name, got, tt.want)
		}
	}
}

// TestEnforce follows a policy and its pod as they come and go. The first time, the
// kernel refuses.
func TestEnforce(t *testing.T) {
	web := &corev1.Pod{
		ObjectMeta: metav1.ObjectMeta{Name: "web", Namespace: "shop", UID: "a1"},
		Status:     corev1.PodStatus{Phase: corev1.PodRunning, PodIP: "10.244.0.9"},
	}
	closed := &networkingv1.NetworkPolicy{ObjectMeta: metav1.ObjectMeta{Name: "closed", Namespace: "shop"}}
	client := fake.NewClientset(web)
	ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
	defer cancel()
	applied, ended := make(chan string, 1), make(chan error, 1)
	refused := false
	go func() {
		ended <- enforce(ctx, client, func(ctx context.Context, ruleset string) error {
			if !refused {
				refused = true
				return errors.New("no")
			}
			select {
			case applied <- ruleset:
			case <-ctx.Done():
			}
			return nil
		}, slog.New(slog.DiscardHandler))
	}()
	await := func(what string, gate bool) {
		t.Helper()
		select {
		case got := <-applied:
			if strings.Contains(got, "10.244.0.9 : jump to-a1") != gate {
				t.Errorf("%s: there is a gate: %t, want %t:\n%s", what, !gate, gate, got)
			}
		case <-ctx.Done():
			t.Fatalf("%s: nothing was applied", what)
		}
	}
	await("at first", false)
	policies := client.NetworkingV1().NetworkPolicies("shop")
	if _, err := policies.Create(ctx, closed, metav1.CreateOptions{}); err != nil {
		t.Fatal(err)
	}
	await("with a policy", true)
	if err := client.CoreV1().Pods("shop").Delete(ctx, "web", metav1.DeleteOptions{}); err != nil {
		t.Fatal(err)
	}
	await("without the pod", false)
	cancel()
	if err := <-ended; !errors.Is(err, context.Canceled) {
		t.Errorf("it ended with %v", err)
	}
}
