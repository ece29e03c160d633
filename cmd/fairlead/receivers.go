package main

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"

	"github.com/spf13/cobra"
	"golang.org/x/sync/errgroup"
	"k8s.io/apimachinery/pkg/util/validation"

	"github.com/fairlead-dev/fairlead/cmd/fairlead/admin"
	"github.com/fairlead-dev/fairlead/cmd/fairlead/cluster"
)

const defaultAdmin = "http://127.0.0.1:8081"

// receivers are the flags of verbs that ask running receivers: some at addresses,
// or all of an endpoint in a cluster.
type receivers struct {
	addresses        []string
	endpoint, output string
	cluster          cluster.Flags
	pods             []string

	// inCluster is the name of the endpoint in the cluster, if one is named.
	inCluster string
	// several is whether more than one is asked, or pods are, so that what is shown
	// says whose it is.
	several bool
}

func (r *receivers) register(cmd *cobra.Command) {
	fl := cmd.PersistentFlags()
	fl.StringArrayVar(&r.addresses, "admin", []string{defaultAdmin}, "address of a receiver's admin API; may be repeated to ask several")
	fl.StringVar(&r.endpoint, "endpoint", "", "NAMESPACE/NAME of the endpoint, where a process serves several")
	fl.StringVarP(&r.output, "output", "o", "", "json or yaml; else for people")
	fl.StringArrayVar(&r.pods, "pod", nil, "in a cluster: only this receiver's pod; may be repeated")
	r.cluster.Register(fl)
}

// take reads the name of an endpoint in the cluster off the arguments, and checks
// the flags that go with it or with its absence. is says whether the first argument
// is such a name, and something else if not.
func (r *receivers) take(cmd *cobra.Command, args []string, is bool) ([]string, error) {
	if err := checkOutput(r.output, "", "json", "yaml"); err != nil {
		return nil, err
	}
	if is {
		if broken := validation.IsDNS1035Label(args[0]); len(broken) > 0 {
			return nil, usagef("%q is no name of an endpoint", args[0])
		}
		r.inCluster, args = args[0], args[1:]
	}
	given, local := r.cluster.Given(), cmd.Flags().Changed("admin") || cmd.Flags().Changed("endpoint")
	if len(r.pods) > 0 && given == "" {
		given = "--pod"
	}
	switch {
	case r.inCluster != "" && local:
		return nil, usagef("%q is an endpoint in a cluster, and --admin and --endpoint are for receivers elsewhere; leave one of them out", r.inCluster)
	case r.inCluster == "" && given != "" && local:
		return nil, usagef("%s is for a cluster, and --admin for receivers elsewhere; leave one of them out", given)
	case r.inCluster == "" && given != "":
		return nil, usagef("%s is for a cluster; name the endpoint behind it. fairlead status -n NAMESPACE lists them", given)
	case r.endpoint != "" && strings.Count(r.endpoint, "/") != 1:
		return nil, usagef("--endpoint is %q; write NAMESPACE/NAME", r.endpoint)
	}
	return args, nil
}

// showOr makes of a verb that has others below it one that, with a namespace and the
// name of an endpoint, shows that endpoint's: it does what the verb below it does
// that most are after.
func (r *receivers) showOr(cmd *cobra.Command, show func(*cobra.Command, []string) error) {
	cmd.Args = func(cmd *cobra.Command, args []string) error {
		if len(args) == 1 && r.cluster.Given() != "" {
			return nil
		}
		return noSuchVerb(cmd, args)
	}
	cmd.RunE = func(cmd *cobra.Command, args []string) error {
		if len(args) == 0 && r.cluster.Given() == "" {
			return cmd.Help()
		}
		return show(cmd, args)
	}
}

// isName reports whether the first argument can only be the name of an endpoint,
// where else there stand dead letters (with a slash) or numbers.
func isName(cmd *cobra.Command, args []string) bool {
	elsewhere := cmd.Flags().Changed("admin") || cmd.Flags().Changed("endpoint")
	return len(args) > 0 && !elsewhere && len(validation.IsDNS1035Label(args[0])) == 0
}

// clients returns a client for each receiver.
func (r *receivers) clients(ctx context.Context) ([]*admin.Client, error) {
	if r.inCluster != "" {
		return r.podClients(ctx)
	}
	r.several = len(r.addresses) > 1
	var all []*admin.Client
	for _, a := range r.addresses {
		c, err := admin.New(a, r.endpoint)
		if err != nil {
			return nil, usagef("--admin: %w", err)
		}
		all = append(all, c)
	}
	return all, nil
}

// one returns the client of the only receiver. What stands for what is only known
// within one, so whoever names a dead letter or a request names the receiver too.
func (r *receivers) one(ctx context.Context, what string) (*admin.Client, error) {
	all, err := r.clients(ctx)
	if err != nil {
		return nil, err
	}
	if len(all) == 1 {
		return all[0], nil
	}
	if r.inCluster == "" {
		return nil, usagef("%s is of one receiver; name that one with --admin", what)
	}
	return nil, usagef("%s is of one receiver; name that one with --pod: there are %s", what, strings.Join(clientNames(all), ", "))
}

func clientNames(all []*admin.Client) []string {
	names := make([]string, 0, len(all))
	for _, c := range all {
		names = append(names, c.Name())
	}
	return names
}

// named adds the receiver to an error, if there are several.
func (r *receivers) named(c *admin.Client, err error) error {
	if err == nil || !r.several || strings.HasPrefix(err.Error(), "asking "+c.Name()) {
		return err
	}
	return fmt.Errorf("%s: %w", c.Name(), err)
}

// each does something with every receiver in turn. One that does not answer is
// named by the error, and keeps none of the others from their turn.
func (r *receivers) each(ctx context.Context, all []*admin.Client, f func(*admin.Client) error) error {
	var errs []error
	for _, c := range all {
		err := f(c)
		c.Close()
		if err == nil {
			continue
		}
		errs = append(errs, r.named(c, err))
		if ctx.Err() != nil {
			break
		}
	}
	return errors.Join(errs...)
}

// atOnce bounds how many receivers are asked at the same time.
const atOnce = 8

// collect asks every receiver, some at the same time, and returns what they have in
// the order of the receivers, what came before an error included. One that does not
// answer is named by the error.
func collect[T any](ctx context.Context, r *receivers, all []*admin.Client, f func(*admin.Client) ([]T, error)) ([]T, error) {
	found, errs := make([][]T, len(all)), make([]error, len(all))
	var group errgroup.Group
	group.SetLimit(atOnce)
	for i, c := range all {
		group.Go(func() error {
			if errs[i] = ctx.Err(); errs[i] != nil {
				errs[i] = admin.ErrStopped
				return nil
			}
			defer c.Close()
			found[i], errs[i] = f(c)
			errs[i] = r.named(c, errs[i])
			return nil
		})
	}
	_ = group.Wait() // each error has its place
	return slices.Concat(found...), errors.Join(errs...)
}

// name is what a receiver is called in a list of several; nothing where there is
// only one.
func (r *receivers) name(c *admin.Client) string {
	if !r.several {
		return ""
	}
	return c.Name()
}

// listed is a list that is written as one, also if it is empty.
func listed[T any](found []T) []T {
	if found == nil {
		return []T{}
	}
	return found
}

// without says of an error of some receivers, before which nothing was done, how to
// go on with the others.
func (r *receivers) without(all []*admin.Client, err error) error {
	if err == nil || !r.several || len(all) < 2 || errors.Is(err, admin.ErrStopped) {
		return err
	}
	flag := "--admin"
	if r.inCluster != "" {
		flag = "--pod"
	}
	return fmt.Errorf("%w\nNothing was done. To do it without those that do not answer, name each of the others with %s: %s", err, flag, strings.Join(clientNames(all), ", "))
}
