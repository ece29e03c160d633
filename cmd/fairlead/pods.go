package main

import (
	"context"
	"errors"
	"fmt"
	"net"
	"slices"
	"strings"

	corev1 "k8s.io/api/core/v1"

	"github.com/fairlead-dev/fairlead/cmd/fairlead/admin"
	"github.com/fairlead-dev/fairlead/cmd/fairlead/cluster"
)

// adminPort is where receivers in pods serve the admin API, on loopback alone.
const adminPort = 8081

// podClients returns a client for each pod of the endpoint, or for those that --pod
// names. One of a pod that cannot be asked says so when it is.
func (r *receivers) podClients(ctx context.Context) ([]*admin.Client, error) {
	c, err := r.connect()
	if err != nil {
		return nil, err
	}
	pods, err := c.Receivers(ctx, r.inCluster)
	if err != nil {
		return nil, err
	}
	if pods, err = r.chosen(pods); err != nil {
		return nil, err
	}
	r.several = true // the name of a pod is always of use
	var all []*admin.Client
	for i := range pods {
		all = append(all, podClient(c, &pods[i], adminPort))
	}
	return all, nil
}

// connect returns a client of the cluster.
func (r *receivers) connect() (*cluster.Client, error) {
	c, err := r.cluster.Connect("fairlead/" + currentVersion())
	if errors.Is(err, cluster.ErrNoCluster) {
		return nil, fmt.Errorf("%w; say which with --kubeconfig, or name a receiver elsewhere with --admin", err)
	}
	return c, err
}

// chosen returns those of pods that --pod names.
func (r *receivers) chosen(pods []corev1.Pod) ([]corev1.Pod, error) {
	if len(r.pods) == 0 {
		return pods, nil
	}
	var some []corev1.Pod
	for _, name := range r.pods {
		i := slices.IndexFunc(pods, func(p corev1.Pod) bool { return p.Name == name })
		if i < 0 {
			names := make([]string, 0, len(pods))
			for j := range pods {
				names = append(names, pods[j].Name)
			}
			return nil, fmt.Errorf("--pod: %q is no receiver of endpoint %q; there are %s", name, r.inCluster, strings.Join(names, ", "))
		}
		some = append(some, pods[i])
	}
	return some, nil
}

// podClient returns a client of a port of a pod.
func podClient(c *cluster.Client, p *corev1.Pod, port int) *admin.Client {
	if why := cluster.Mute(p); why != "" {
		return admin.Of(p.Name, port, mute(why))
	}
	return admin.Of(p.Name, port, c.Tunnel(p.Name))
}

// mute is a pod that cannot be asked, and why.
type mute string

func (m mute) Dial(context.Context, int) (net.Conn, error) { return nil, errors.New(string(m)) }

func (mute) Close() {}
