package main

import (
	"cmp"
	"context"
	"fmt"
	"log/slog"
	"slices"
	"time"

	networkingv1 "k8s.io/api/networking/v1"
	"k8s.io/apimachinery/pkg/labels"
	"k8s.io/client-go/informers"
	"k8s.io/client-go/kubernetes"
	"k8s.io/client-go/tools/cache"
)

const (
	gather = 50 * time.Millisecond // changes that come together are applied together
	again  = time.Second           // after an error
)

// enforce applies a new ruleset after every change that makes a difference, until
// ctx ends.
func enforce(ctx context.Context, client kubernetes.Interface, apply func(context.Context, string) error, log *slog.Logger) error {
	s, err := watch(ctx, client)
	if err != nil {
		return err
	}
	defer s.factory.Shutdown()
	last := ""
	for {
		v, err := s.view()
		if err != nil {
			return err
		}
		next := s.changed
		if ruleset := v.ruleset(); ruleset != last {
			if err := apply(ctx, ruleset); err != nil {
				log.Error("applying rules", "err", err)
				next = nil // there is cause enough
			} else {
				last = ruleset
				log.Info("applied rules", "pods", len(v.pods), "policies", len(v.policies))
			}
		}
		if err := pause(ctx, next); err != nil {
			return err
		}
	}
}

// pause waits for a change, and then a little for others; without changes to wait
// for, it waits long enough to try again.
func pause(ctx context.Context, changed <-chan struct{}) error {
	wait := gather
	if changed == nil {
		wait = again
	} else {
		select {
		case <-changed:
		case <-ctx.Done():
			return ctx.Err()
		}
	}
	timer := time.NewTimer(wait)
	defer timer.Stop()
	select {
	case <-timer.C:
		return nil
	case <-ctx.Done():
		return ctx.Err()
	}
}

// A source keeps what the API server has.
type source struct {
	factory informers.SharedInformerFactory
	changed chan struct{} // gets one element after a change, or after several
}

// watch returns when all that there is has been read once.
func watch(ctx context.Context, client kubernetes.Interface) (*source, error) {
	s := &source{informers.NewSharedInformerFactory(client, 0), make(chan struct{}, 1)}
	note := func() {
		select {
		case s.changed <- struct{}{}:
		default: // it is noted already
		}
	}
	handler := cache.ResourceEventHandlerFuncs{
		AddFunc:    func(any) { note() },
		UpdateFunc: func(any, any) { note() },
		DeleteFunc: func(any) { note() },
	}
	for _, i := range []cache.SharedIndexInformer{
		s.factory.Core().V1().Pods().Informer(),
		s.factory.Core().V1().Namespaces().Informer(),
		s.factory.Networking().V1().NetworkPolicies().Informer(),
	} {
		if _, err := i.AddEventHandler(handler); err != nil {
			return nil, fmt.Errorf("watching: %w", err)
		}
	}
	s.factory.Start(ctx.Done())
	for kind, synced := range s.factory.WaitForCacheSync(ctx.Done()) {
		if !synced {
			s.factory.Shutdown()
			return nil, fmt.Errorf("reading every %v: %w", kind, context.Cause(ctx))
		}
	}
	return s, nil
}

// view returns what is known now. Its objects are not to be changed.
func (s *source) view() (view, error) {
	v := view{namespaces: map[string]labels.Set{}}
	all, err := s.factory.Core().V1().Pods().Lister().List(labels.Everything())
	if err != nil {
		return v, fmt.Errorf("listing pods: %w", err)
	}
	v.pods = living(all)
	namespaces, err := s.factory.Core().V1().Namespaces().Lister().List(labels.Everything())
	if err != nil {
		return v, fmt.Errorf("listing namespaces: %w", err)
	}
	for _, n := range namespaces {
		v.namespaces[n.Name] = n.Labels
	}
	v.policies, err = s.factory.Networking().V1().NetworkPolicies().Lister().List(labels.Everything())
	if err != nil {
		return v, fmt.Errorf("listing policies: %w", err)
	}
	slices.SortFunc(v.policies, func(a, b *networkingv1.NetworkPolicy) int {
		return cmp.Or(cmp.Compare(a.Namespace, b.Namespace), cmp.Compare(a.Name, b.Name))
	})
	return v, nil
}
