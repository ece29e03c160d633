// Package cluster is the tool's way into a cluster: it finds endpoints and their
// receivers' pods, and reaches ports of a pod through the API server, so that what
// is open on a pod's loopback address alone is guarded by the cluster's RBAC.
package cluster

import (
	"errors"
	"fmt"

	"github.com/spf13/pflag"
	utilnet "k8s.io/apimachinery/pkg/util/net"
	"k8s.io/client-go/kubernetes/scheme"
	_ "k8s.io/client-go/plugin/pkg/client/auth/oidc" // for kubeconfigs that name it, as for kubectl
	"k8s.io/client-go/rest"
	"k8s.io/client-go/tools/clientcmd"
)

// Flags are those by which kubectl too is told which cluster is meant, as whom, and
// which namespace. The zero value means what kubectl means without any.
type Flags struct {
	kubeconfig string
	overrides  clientcmd.ConfigOverrides
	set        *pflag.FlagSet
}

// names are the flags that Register adds.
var names = []string{"namespace", "context", "kubeconfig", "cluster", "user", "as", "as-group", "as-uid", "request-timeout"}

// Register adds the flags. Their names and meanings are kubectl's.
func (f *Flags) Register(fs *pflag.FlagSet) {
	f.set = fs
	o := &f.overrides
	fs.StringVarP(&o.Context.Namespace, "namespace", "n", "", "in a cluster: the endpoint's namespace; else that of the kubeconfig's context")
	fs.StringVar(&o.CurrentContext, "context", "", "in a cluster: context of the kubeconfig")
	fs.StringVar(&f.kubeconfig, "kubeconfig", "", "in a cluster: kubeconfig file; else $KUBECONFIG, ~/.kube/config, or a pod's own account")
	fs.StringVar(&o.Context.Cluster, "cluster", "", "in a cluster: cluster of the kubeconfig")
	fs.StringVar(&o.Context.AuthInfo, "user", "", "in a cluster: user of the kubeconfig")
	fs.StringVar(&o.AuthInfo.Impersonate, "as", "", "in a cluster: act as this user")
	fs.StringArrayVar(&o.AuthInfo.ImpersonateGroups, "as-group", nil, "in a cluster: act as one of this group; may be repeated")
	fs.StringVar(&o.AuthInfo.ImpersonateUID, "as-uid", "", "in a cluster: act as the user of this uid")
	fs.StringVar(&o.Timeout, "request-timeout", "0", "in a cluster: how long one request to the API server may take, such as 30s; 0 for as long as it takes")
}

// Given returns the first of the flags that was set, with its dashes, or nothing.
func (f *Flags) Given() string {
	for _, name := range names {
		if f.set != nil && f.set.Changed(name) {
			return "--" + name
		}
	}
	return ""
}

// ErrNoCluster means that nothing says which cluster is meant.
var ErrNoCluster = errors.New("no cluster is known: there is no kubeconfig, and this is no pod with an account")

// Connect returns a client of the cluster that the flags mean. It asks nothing yet.
// agent is how the tool names itself to the API server.
func (f *Flags) Connect(agent string) (*Client, error) {
	rules := clientcmd.NewDefaultClientConfigLoadingRules()
	rules.ExplicitPath = f.kubeconfig
	loaded := clientcmd.NewNonInteractiveDeferredLoadingClientConfig(rules, &f.overrides)
	config, err := loaded.ClientConfig()
	switch {
	case clientcmd.IsEmptyConfig(err):
		return nil, ErrNoCluster
	case err != nil:
		return nil, fmt.Errorf("reading kubeconfig: %w", err)
	}
	namespace, _, err := loaded.Namespace()
	if err != nil {
		return nil, fmt.Errorf("reading kubeconfig: %w", err)
	}
	config.UserAgent = agent
	return newClient(config, namespace)
}

// newClient returns a client that speaks JSON.
func newClient(config *rest.Config, namespace string) (*Client, error) {
	config.QPS, config.Burst = 50, 100 // a person asks, and not a controller
	config.WarningHandlerWithContext = rest.NoWarnings{}
	config.NegotiatedSerializer = scheme.Codecs.WithoutConversion()
	config.ContentType = "application/json"
	transport, err := rest.HTTPClientFor(config)
	if err != nil {
		return nil, fmt.Errorf("reading kubeconfig: %w", err)
	}
	api, err := rest.UnversionedRESTClientForConfigAndClient(config, transport)
	if err != nil {
		return nil, fmt.Errorf("reading kubeconfig: %w", err)
	}
	return &Client{api: api, config: config, http: transport, Namespace: namespace}, nil
}

// Close drops idle connections.
func (c *Client) Close() { utilnet.CloseIdleConnectionsFor(c.http.Transport) }
