package main

import (
	"context"
	"fmt"
	"slices"

	"github.com/spf13/cobra"

	"github.com/fairlead-dev/fairlead/cmd/fairlead/admin"
	v1 "github.com/fairlead-dev/fairlead/receiver/admin/v1"
)

const lettersReplayHelp = `Replay has the deliveries of dead letters made again: each is queued for its sink
once more and is no dead letter any longer. The sink gets the same id and bytes,
with the replay's name in the CloudEvent extension fairleadreplay.

Name dead letters, or choose them by flags; where more than one is chosen by
flags, --yes must say that this is meant (--dry-run shows which they are). They
are queued at --rate, so that a sink that has just come back is not run over, and
while the queue is full this waits. Ctrl-C finishes what is under way; the others
stay dead letters, so the same command goes on with them.

Exit codes: 0 all were replayed, 1 some could not be, 2 wrong usage, 130 stopped
by Ctrl-C.`

const lettersReplayExample = `  fairlead deadletters replay app/12 app/15
  fairlead deadletters replay --sink app --type "message.*" --dry-run
  fairlead deadletters replay --sink app --rate 500 --yes`

// lettersBulk are the flags of what is done with many dead letters.
type lettersBulk struct {
	choice
	rate        int
	yes, dryRun bool
	name        string
}

func newLettersReplay(r *receivers) *cobra.Command {
	var f lettersBulk
	cmd := &cobra.Command{
		Use:     "replay [NAME] SINK/SEQUENCE... | FLAGS",
		Short:   "Have deliveries of dead letters made again",
		Long:    lettersReplayHelp,
		Example: lettersReplayExample,
		Args:    arguments(0, v1.MaxIDs+1, "dead letters, behind the name of an endpoint in the cluster"),
		RunE: func(cmd *cobra.Command, args []string) error {
			return f.replay(cmd, r, args)
		},
	}
	f.register(cmd, "replay")
	cmd.Flags().IntVar(&f.rate, "rate", defaultRate, "at most so many a second; 0 for as fast as it goes")
	cmd.Flags().StringVar(&f.name, "name", "", "name of the replay; else one is made up")
	return cmd
}

func (f *lettersBulk) register(cmd *cobra.Command, verb string) {
	f.choice.register(cmd, 0)
	cmd.Flags().BoolVar(&f.all, "all", false, verb+" all that there are")
	cmd.Flags().BoolVar(&f.yes, "yes", false, "all that are chosen by flags are meant")
	cmd.Flags().BoolVar(&f.dryRun, "dry-run", false, "only list which they are")
}

func (f *lettersBulk) replay(cmd *cobra.Command, r *receivers, names []string) error {
	if err := checkReplay(f.rate, f.name); err != nil {
		return err
	}
	b := &bulk{done: "replayed", noun: "dead letter", rate: f.rate, name: f.name}
	return f.run(cmd, r, names, b, func(ctx context.Context, to *admin.Client, ids []string) (int, error) {
		return b.replayed(to.ReplayDeadLetters(ctx, ids, b.name))
	})
}

// run does something with the dead letters that are named or chosen.
func (f *lettersBulk) run(cmd *cobra.Command, r *receivers, names []string, b *bulk, do func(context.Context, *admin.Client, []string) (int, error)) error {
	names, err := r.take(cmd, names, isName(cmd, names))
	if err != nil {
		return err
	}
	if err := f.checkNames(names); err != nil {
		return err
	}
	all, err := f.clients(cmd.Context(), r, names)
	if err != nil {
		return err
	}
	if f.dryRun {
		return f.list(cmd, r, names)
	}
	ids, err := f.find(cmd.Context(), r, all, names)
	if err != nil {
		return r.without(all, err)
	}
	n := 0
	for _, some := range ids {
		n += len(some)
	}
	if err := b.confirm(n, f.yes || len(names) > 0); err != nil {
		return err
	}
	err = r.each(cmd.Context(), all, func(to *admin.Client) error {
		_, err := runBulk(cmd, b, ids[to], func(ctx context.Context, batch []string) (int, error) { return do(ctx, to, batch) })
		return err
	})
	return b.report(cmd, r.output, err, "the others are dead letters still, and the same command goes on with them")
}

// clients returns the clients; dead letters that are named are of one.
func (f *lettersBulk) clients(ctx context.Context, r *receivers, names []string) ([]*admin.Client, error) {
	if len(names) == 0 {
		return r.clients(ctx)
	}
	one, err := r.one(ctx, "a dead letter's name")
	return []*admin.Client{one}, err
}

// find lists what is named or chosen, before anything is done.
func (f *lettersBulk) find(ctx context.Context, r *receivers, all []*admin.Client, names []string) (map[*admin.Client][]string, error) {
	if len(names) > 0 {
		slices.Sort(names)
		return map[*admin.Client][]string{all[0]: slices.Compact(names)}, nil
	}
	type found struct {
		at *admin.Client
		id string
	}
	letters, err := collect(ctx, r, all, func(from *admin.Client) (some []found, err error) {
		_, err = f.visit(ctx, from, false, func(d *v1.DeadLetter) error {
			some = append(some, found{from, d.DeadLetter})
			return nil
		})
		return some, err
	})
	ids := map[*admin.Client][]string{}
	for _, x := range letters {
		ids[x.at] = append(ids[x.at], x.id)
	}
	return ids, err
}

// list prints what is named or chosen.
func (f *lettersBulk) list(cmd *cobra.Command, r *receivers, names []string) error {
	if len(names) == 0 {
		return listChosen(cmd, r, &f.choice)
	}
	from, err := r.one(cmd.Context(), "a dead letter's name")
	if err != nil {
		return err
	}
	var found []locatedLetter
	for _, name := range names {
		d, err := from.DeadLetter(cmd.Context(), name)
		if err != nil {
			return fmt.Errorf("looking for dead letter %s: %w", name, err)
		}
		d.Headers, d.Data, d.DataBase64, d.Text, d.Answer, d.AnswerBase64 = nil, nil, nil, "", "", nil // as in a list
		found = append(found, locatedLetter{r.name(from), *d})
	}
	return printLetters(cmd, r, found)
}
