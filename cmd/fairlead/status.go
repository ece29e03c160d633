package main

import (
	"context"
	"errors"
	"fmt"
	"net/url"
	"slices"
	"strings"

	"github.com/spf13/cobra"
	corev1 "k8s.io/api/core/v1"

	"github.com/fairlead-dev/fairlead/api/statusz"
	"github.com/fairlead-dev/fairlead/api/v1alpha1"
	"github.com/fairlead-dev/fairlead/cmd/fairlead/admin"
	"github.com/fairlead-dev/fairlead/cmd/fairlead/cluster"
	"github.com/fairlead-dev/fairlead/cmd/fairlead/survey"
	"github.com/fairlead-dev/fairlead/controllers/desired"
)

const statusHelp = `Status says how endpoints are.

Without NAME it lists the endpoints of the namespace, or with -A those of all. With
NAME it shows one: its conditions and what to do about them, the URLs for the
provider, and what each of its receivers says of itself: the secrets that it holds
(by fingerprint), whether it sees the addresses of those that send, its certificate,
and its sinks. Receivers are asked through the API server, by a port that is
forwarded to each pod; those that do not answer are named, and what the others say
is shown all the same.

With --admin it asks receivers elsewhere, such as one that fairlead run has started.

The rights that it takes in a cluster are those of ClusterRole
fairlead-receiver-admin: to read endpoints, to list pods, and to forward ports.

Exit codes: 0 all that is shown is ready, and every receiver answered, 1 what was
asked for failed, or a receiver that --admin names did not answer, 2 wrong usage, 3
something is not ready, or a receiver in the cluster did not answer, 130 stopped by
Ctrl-C.`

const statusExample = `  # The endpoints of a namespace, and of all.
  fairlead status -n community
  fairlead status -A

  # One of them, with its receivers.
  fairlead status -n community chat

  # In a script: wait until it is ready.
  until fairlead status -n community chat >/dev/null; do sleep 5; done

  # The receiver that fairlead run has started here.
  fairlead status --admin http://127.0.0.1:8081`

// errNotReady says by the exit code what has been shown already.
var errNotReady = errors.New("not ready")

// statusFlags are the flags of status.
type statusFlags struct {
	receivers
	all bool
}

func newStatus() *cobra.Command {
	var f statusFlags
	cmd := &cobra.Command{
		Use:     "status [NAME]",
		Short:   "Say how endpoints and their receivers are",
		Long:    statusHelp,
		Example: statusExample,
		Args:    arguments(0, 1, "at most the name of an endpoint"),
		RunE:    func(cmd *cobra.Command, args []string) error { return f.run(cmd, args) },
	}
	fl := cmd.Flags()
	fl.StringArrayVar(&f.addresses, "admin", nil, "address of a receiver outside of a cluster, such as "+defaultAdmin+"; may be repeated")
	fl.StringVarP(&f.output, "output", "o", "", "json or yaml; else for people")
	fl.BoolVarP(&f.all, "all-namespaces", "A", false, "list the endpoints of all namespaces")
	f.cluster.Register(fl)
	return cmd
}

func (f *statusFlags) run(cmd *cobra.Command, args []string) error {
	given, local := f.cluster.Given(), len(f.addresses) > 0
	switch {
	case local && (given != "" || f.all || len(args) > 0):
		return usagef("--admin is for receivers outside of a cluster; leave out the name, and the flags for a cluster")
	case f.all && (len(args) > 0 || given == "--namespace"):
		return usagef("-A is for all endpoints; leave out the name and the namespace")
	}
	if err := checkOutput(f.output, "", "json", "yaml"); err != nil {
		return err
	}
	switch {
	case local:
		return f.elsewhere(cmd)
	case len(args) == 0:
		return f.list(cmd)
	}
	if _, err := f.take(cmd, args, true); err != nil {
		return err
	}
	return f.inFull(cmd)
}

// list shows the endpoints of one namespace or all.
func (f *statusFlags) list(cmd *cobra.Command) error {
	c, err := f.connect()
	if err != nil {
		return err
	}
	defer c.Close()
	namespace := c.Namespace
	if f.all {
		namespace = ""
	}
	eps, err := c.Endpoints(cmd.Context(), namespace)
	if err != nil {
		return err
	}
	return f.printList(cmd, eps, namespace)
}

// inFull shows one endpoint with its receivers.
func (f *statusFlags) inFull(cmd *cobra.Command) error {
	c, err := f.connect()
	if err != nil {
		return err
	}
	defer c.Close()
	ep, err := c.Endpoint(cmd.Context(), f.inCluster)
	if err != nil {
		return err
	}
	s := survey.OfEndpoint(ep)
	pods, err := c.Pods(cmd.Context(), ep.Name)
	if err == nil {
		err = f.ask(cmd.Context(), c, pods, s)
	}
	s.Merge()
	if err != nil {
		s.Ready, s.Why = false, append(s.Why, "Its receivers cannot be asked: "+err.Error())
	}
	if errors.Is(err, context.Canceled) {
		return err
	}
	return f.show(cmd, []*survey.Survey{s})
}

// ask fills in what the receivers say. Pods that have ended for good are left out.
func (f *statusFlags) ask(ctx context.Context, c *cluster.Client, pods []corev1.Pod, s *survey.Survey) error {
	pods = slices.DeleteFunc(pods, func(p corev1.Pod) bool { return cluster.Ended(&p) })
	var all []*admin.Client
	for i := range pods {
		all = append(all, podClient(c, &pods[i], desired.TelemetryPort))
	}
	pages := f.pages(ctx, all)
	for i := range pods {
		p := &pods[i]
		r := survey.Receiver{
			Name: p.Name, Ready: cluster.Ready(p), Phase: string(p.Status.Phase), Node: p.Spec.NodeName,
			Restarts: cluster.Restarts(p), Terminating: p.DeletionTimestamp != nil,
		}
		r.Answer(pages[i].Page, pages[i].err, s.Namespace, s.Name)
		s.Receivers = append(s.Receivers, r)
	}
	return ctx.Err()
}

// statusAnswer is what one receiver answered.
type statusAnswer struct {
	*statusz.Page
	err error
}

// pages asks every receiver for its status page.
func (f *statusFlags) pages(ctx context.Context, all []*admin.Client) []statusAnswer {
	found, _ := collect(ctx, &f.receivers, all, func(from *admin.Client) ([]statusAnswer, error) { // errors stand in their places
		page, err := from.Status(ctx)
		return []statusAnswer{{page, reason(err, from)}}, nil
	})
	for len(found) < len(all) { // stopped
		found = append(found, statusAnswer{err: admin.ErrStopped})
	}
	return found
}

// reason takes off an error who was asked: that stands beside it.
func reason(err error, from *admin.Client) error {
	if err == nil {
		return nil
	}
	if text, ok := strings.CutPrefix(err.Error(), "asking "+from.Name()+": "); ok && !errors.Is(err, admin.ErrStopped) {
		return errors.New(text)
	}
	return err
}

// elsewhere shows what receivers outside of a cluster serve.
func (f *statusFlags) elsewhere(cmd *cobra.Command) error {
	all, err := f.clients(cmd.Context())
	if err != nil {
		return err
	}
	pages := f.pages(cmd.Context(), all)
	if err := cmd.Context().Err(); err != nil {
		return err
	}
	surveys, err := surveysOf(all, pages)
	for _, s := range surveys {
		s.Merge()
	}
	if len(surveys) == 0 {
		return err
	}
	if printErr := f.show(cmd, surveys); printErr != nil && err == nil {
		return printErr
	}
	return err
}

// surveysOf begins a survey for each endpoint that a receiver serves.
func surveysOf(all []*admin.Client, pages []statusAnswer) ([]*survey.Survey, error) {
	var surveys []*survey.Survey
	var errs []error
	for i, c := range all {
		if pages[i].err != nil {
			errs = append(errs, fmt.Errorf("%s: %w", c.Name(), pages[i].err))
			continue
		}
		for j := range pages[i].Endpoints {
			e := &pages[i].Endpoints[j]
			k := slices.IndexFunc(surveys, func(s *survey.Survey) bool { return s.Namespace == e.Namespace && s.Name == e.Name })
			if k < 0 {
				k, surveys = len(surveys), append(surveys, &survey.Survey{Namespace: e.Namespace, Name: e.Name})
			}
			r := survey.Receiver{Name: short(c.Name())}
			r.Answer(pages[i].Page, nil, e.Namespace, e.Name)
			surveys[k].Receivers = append(surveys[k].Receivers, r)
		}
	}
	return surveys, errors.Join(errs...)
}

// short is the host and port of an address.
func short(address string) string {
	if u, err := url.Parse(address); err == nil && u.Host != "" {
		return u.Host
	}
	return address
}

// show prints surveys, and returns errNotReady if something is not ready.
func (f *statusFlags) show(cmd *cobra.Command, all []*survey.Survey) error {
	err := f.print(cmd, all)
	if err == nil && slices.ContainsFunc(all, func(s *survey.Survey) bool { return !s.Ready }) {
		return errNotReady
	}
	return err
}

// listedEndpoint is an endpoint in a list.
type listedEndpoint struct {
	Namespace string `json:"namespace"`
	Name      string `json:"name"`
	Ready     bool   `json:"ready"`
	Reason    string `json:"reason,omitempty"`
	Message   string `json:"message,omitempty"`
	*survey.Endpoint
}

func (f *statusFlags) printList(cmd *cobra.Command, eps []v1alpha1.WebhookEndpoint, namespace string) error {
	found := make([]listedEndpoint, 0, len(eps))
	ready := true
	for i := range eps {
		x := listEndpoint(&eps[i])
		ready = ready && x.Ready
		found = append(found, x)
	}
	var err error
	if f.output != "" {
		err = printData(cmd.OutOrStdout(), f.output, found)
	} else {
		err = printEndpoints(cmd, found, namespace)
	}
	if err == nil && !ready {
		return errNotReady
	}
	return err
}
