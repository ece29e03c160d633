package resolve_test

import (
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"k8s.io/apimachinery/pkg/api/resource"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	config "github.com/fairlead-dev/fairlead/api/config/v1alpha1"
	"github.com/fairlead-dev/fairlead/api/resolve"
	"github.com/fairlead-dev/fairlead/api/v1alpha1"
)

// TestQueueing holds what decides on a full queue, on order, and on what failed
// verification. Defaults are left out: a receiver of before there were such fields
// takes the configuration.
func TestQueueing(t *testing.T) {
	ep := endpoint()
	ep.Spec.Receiver.Replicas = 1
	ep.Spec.Sinks = append(ep.Spec.Sinks, *ep.Spec.Sinks[0].DeepCopy())
	ep.Spec.Sinks[0].WhenFull = v1alpha1.WhenFullReject
	ep.Spec.Sinks[1].Name, ep.Spec.Sinks[1].WhenFull = "audit", v1alpha1.WhenFullDropOldest
	ep.Spec.Sinks[1].Delivery.Ordering = v1alpha1.OrderingBySubject
	ep.Spec.Queue.Quarantine = &v1alpha1.Quarantine{MaxRequests: 1000, Capacity: ptr(resource.MustParse("16Mi")), MaxAge: "24h"}
	res, err := resolve.Resolve(ep, profile(), now)
	if err != nil {
		t.Fatal(err)
	}
	plain, dropping := res.Config.Sinks[0], res.Config.Sinks[1]
	if plain.WhenFull != "" || plain.Delivery.Ordering != "" {
		t.Errorf("whenFull %q and ordering %q of the sink with defaults, want none", plain.WhenFull, plain.Delivery.Ordering)
	}
	if dropping.WhenFull != v1alpha1.WhenFullDropOldest || dropping.Delivery.Ordering != v1alpha1.OrderingBySubject {
		t.Errorf("whenFull %q and ordering %q of the other sink", dropping.WhenFull, dropping.Delivery.Ordering)
	}
	want := &config.Quarantine{MaxRequests: 1000, CapacityBytes: 16 << 20, MaxAge: metav1.Duration{Duration: 24 * time.Hour}}
	if diff := cmp.Diff(want, res.Config.Queue.Quarantine); diff != "" {
		t.Errorf("quarantine (-want +got):\n%s", diff)
	}
}
