package main

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"syscall"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	appsv1 "k8s.io/api/apps/v1"
	coordinationv1 "k8s.io/api/coordination/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/utils/ptr"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/fairlead-dev/fairlead/api/v1alpha1"
)

const (
	wins = "Successfully acquired lease"
	// handOver is how long the other may take when the leader gives the Lease back:
	// it looks every 2 s.
	handOver = 10 * time.Second
	// leaseTime is how long the Lease of one that was killed holds.
	leaseTime = 15 * time.Second
	// renewal is how long a leader may go on without renewing its Lease.
	renewal = 10 * time.Second
)

// leads waits until an operator leads.
func (p *process) leads() {
	p.t.Helper()
	until(p.t, "it leads", func(context.Context) error {
		if !p.log.says(wins) {
			return errors.New("it does not")
		}
		return nil
	})
}

// TestLeader holds that one of several operators reconciles, and that another does
// soon after the first is stopped, and when its Lease has run out after it was
// killed.
func TestLeader(t *testing.T) {
	as, scraper, ns := operatorUser(t), token(t, "scraper", true), namespace(t)
	first := spawn(t, as).ready()
	first.leads()
	second := spawn(t, as).ready()
	one := chat(t, ns, "one", "stream-chat")
	reconciled(t, one)
	if n := first.applies(scraper); n == 0 {
		t.Error("the leader has applied nothing")
	}
	if n := second.applies(scraper); n != 0 || second.log.says(wins) {
		t.Errorf("the one that waits has applied %d objects", n)
	}
	had := uids(t, one)

	stopped := time.Now()
	if code, took := first.signal(syscall.SIGTERM); code != 0 || took > handOver {
		t.Errorf("the leader ended with code %d after %v, want 0 within %v", code, took, handOver)
	}
	two := chat(t, ns, "two", "stream-chat")
	reconciled(t, two)
	if took := time.Since(stopped); took > handOver {
		t.Errorf("the other one took %v to reconcile, want at most %v", took, handOver)
	}
	t.Logf("%v from SIGTERM to an endpoint of the other leader", time.Since(stopped).Round(time.Millisecond))

	third := spawn(t, as).ready()
	killed := time.Now()
	second.signal(syscall.SIGKILL)
	third.leads()
	three := chat(t, ns, "three", "stream-chat")
	reconciled(t, three)
	if took := time.Since(killed); took > leaseTime+handOver {
		t.Errorf("the third one took %v to reconcile, want at most %v", took, leaseTime+handOver)
	}
	t.Logf("%v from SIGKILL to an endpoint of the third leader", time.Since(killed).Round(time.Millisecond))

	waiting := spawn(t, as).ready()
	if code, took := waiting.signal(syscall.SIGTERM); code != 0 || took > handOver {
		t.Errorf("one that waits ended with code %d after %v, want 0 within %v", code, took, handOver)
	}
	if code, _ := third.signal(syscall.SIGTERM); code != 0 {
		t.Errorf("the third leader ended with code %d, want 0", code)
	}
	if who, err := holder(t.Context()); err != nil || who != "" {
		t.Errorf("after all have ended %q holds the Lease, %v", who, err)
	}
	if diff := cmp.Diff(had, uids(t, one)); diff != "" {
		t.Errorf("objects were made anew (-before +after):\n%s", diff)
	}
}

// TestServerRestart holds what an outage of the API server does to an operator: a
// short one nothing; in one that is longer than it may go without renewing its
// Lease it ends, so that it cannot act beside another leader, and its next start
// goes on where it was. Nothing is made anew.
func TestServerRestart(t *testing.T) {
	as, ns := operatorUser(t), namespace(t)
	op := spawn(t, as).ready()
	ep := chat(t, ns, "chat", "stream-chat")
	reconciled(t, ep)
	had := uids(t, ep)

	since := time.Now()
	up := serverDown(t)
	up()
	away := time.Since(since)
	t.Logf("the API server was away for %v", away.Round(time.Millisecond))
	if away > renewal-2*time.Second { // a busy machine; what follows holds for the next one too
		op.end()
		op = spawn(t, as).ready()
	}
	scale(t, ep, 3)
	reconciled(t, ep)
	replicas(t, ep, 3)
	if op.hasEnded() {
		t.Fatalf("a short outage ended the operator with code %d", op.code)
	}

	since = time.Now()
	up = serverDown(t)
	if code := op.end(); code != 1 {
		t.Errorf("in a long outage the operator ended with code %d, want 1", code)
	}
	t.Logf("%v from the API server's end to the operator's", time.Since(since).Round(time.Millisecond))
	if again := spawn(t, as); again.end() != 1 {
		t.Error("an operator started without an API server")
	}
	up()
	scale(t, ep, 4)
	again := spawn(t, as).ready()
	reconciled(t, ep)
	replicas(t, ep, 4)
	if diff := cmp.Diff(had, uids(t, ep)); diff != "" {
		t.Errorf("objects were made anew (-before +after):\n%s", diff)
	}
	if code, _ := again.signal(syscall.SIGTERM); code != 0 {
		t.Errorf("the operator ended with code %d, want 0", code)
	}
}

// serverDown stops the API server, and returns what starts it at the same port with
// the same data. It starts by the end of the test at the latest.
func serverDown(t *testing.T) (up func()) {
	t.Helper()
	if err := env.ControlPlane.APIServer.Stop(); err != nil {
		t.Log("killed the API server, because of", err)
	}
	up = sync.OnceFunc(func() {
		if err := env.ControlPlane.APIServer.Start(); err != nil {
			t.Errorf("starting API server: %v", err)
		}
	})
	t.Cleanup(up)
	return up
}

// scale changes an endpoint so that its Deployment must change too.
func scale(t *testing.T, ep *v1alpha1.WebhookEndpoint, replicas int32) {
	t.Helper()
	until(t, "the endpoint is changed", func(ctx context.Context) error {
		if err := admin.Get(ctx, client.ObjectKeyFromObject(ep), ep); err != nil {
			return err
		}
		ep.Spec.Receiver = &v1alpha1.Receiver{Replicas: replicas}
		return admin.Update(ctx, ep)
	})
}

func replicas(t *testing.T, ep *v1alpha1.WebhookEndpoint, want int32) {
	t.Helper()
	d := &appsv1.Deployment{ObjectMeta: metav1.ObjectMeta{Namespace: ep.Namespace, Name: ep.Name + "-receiver"}}
	until(t, "the Deployment is changed", func(ctx context.Context) error {
		if err := admin.Get(ctx, client.ObjectKeyFromObject(d), d); err != nil {
			return err
		}
		if got := ptr.Deref(d.Spec.Replicas, 0); got != want {
			return fmt.Errorf("it has %d replicas, not %d", got, want)
		}
		return nil
	})
}

// TestLeaseGoesWithTheOperator holds that the Lease belongs to the ServiceAccount of
// the operator that leads, so that it does not stay when that is removed: also one
// that is there already, from a ServiceAccount that was made anew since.
func TestLeaseGoesWithTheOperator(t *testing.T) {
	for _, again := range []string{"first", "made anew"} {
		t.Run(again, func(t *testing.T) {
			as, owner := operatorAccount(t)
			op := spawn(t, as).ready()
			reconciled(t, chat(t, namespace(t), "chat", "stream-chat")) // all of it has started, and can be stopped
			until(t, "the Lease has an owner", func(ctx context.Context) error {
				l := &coordinationv1.Lease{}
				if err := admin.Get(ctx, client.ObjectKey{Namespace: ownNamespace, Name: lease}, l); err != nil {
					return err
				}
				if diff := cmp.Diff([]metav1.OwnerReference{owner}, l.OwnerReferences); diff != "" {
					return fmt.Errorf("owners (-want +got):\n%s", diff)
				}
				return nil
			})
			if code, _ := op.signal(syscall.SIGTERM); code != 0 {
				t.Errorf("the operator ended with code %d, want 0", code)
			}
			if got := op.log.errors(); len(got) > 0 {
				t.Errorf("the log has errors: %q", got)
			}
		})
	}
}
