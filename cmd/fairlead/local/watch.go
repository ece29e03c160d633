package local

import (
	"context"
	"crypto/sha256"
	"fmt"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"time"

	"github.com/fairlead-dev/fairlead/cmd/fairlead/manifest"
	"github.com/fairlead-dev/fairlead/receiver/reload"
)

// watch takes changes of the manifests and the boundaries of ranges, until ctx
// ends.
func (r *runner) watch(ctx context.Context) {
	changes := make(chan struct{}, 1)
	if r.o.Watched != nil {
		go func() {
			if err := reload.WatchDirs(ctx, 0, r.o.Logger, r.watched, func() { notify(changes) }); err != nil {
				r.o.Logger.Error("Changes of the manifests are not noticed; restart to apply them", "err", err)
			}
		}()
	}
	var refused string
	for {
		boundary, stop := until(r.next)
		select {
		case <-ctx.Done():
			stop()
			return
		case <-boundary:
		case <-changes:
		}
		stop()
		err := r.update()
		if err != nil && err.Error() != refused {
			r.o.Logger.Error("The manifests are not taken; what runs goes on as it was", "err", err)
		}
		refused = fmt.Sprint(err)
	}
}

// until returns a channel that is told at t; never, if there is no t.
func until(t time.Time) (<-chan time.Time, func() bool) {
	if t.IsZero() {
		return nil, func() bool { return false }
	}
	timer := time.NewTimer(time.Until(t))
	return timer.C, timer.Stop
}

func notify(c chan<- struct{}) {
	select {
	case c <- struct{}{}:
	default: // a notice is waiting already
	}
}

// watched lists the directories whose changes matter.
func (r *runner) watched() []string {
	dirs := r.o.Watched()
	if r.o.SecretsDir == "" {
		return dirs
	}
	dirs = append(dirs, r.o.SecretsDir)
	list, err := os.ReadDir(r.o.SecretsDir)
	if err != nil {
		return dirs // reading again tells of it
	}
	for _, e := range list {
		dirs = append(dirs, filepath.Join(r.o.SecretsDir, e.Name()))
	}
	return dirs
}

// update reads the manifests again and gives each receiver what changed. All of
// them must be right, or none is changed.
func (r *runner) update() error {
	file, err := r.o.Load()
	if err != nil {
		return err
	}
	resolved, err := file.Resolve(time.Now())
	if err != nil {
		return err
	}
	if err := r.sameEndpoints(resolved); err != nil {
		return err
	}
	r.next = time.Time{}
	for _, e := range resolved {
		r.schedule(e)
		if err := r.replace(file, e); err != nil {
			return fmt.Errorf("endpoint %s: %w", key(e), err)
		}
	}
	return nil
}

func (r *runner) sameEndpoints(resolved []manifest.Resolved) error {
	var names []string
	for _, e := range resolved {
		names = append(names, key(e))
	}
	slices.Sort(names)
	if was := slices.Sorted(maps.Keys(r.endpoints)); !slices.Equal(was, names) {
		return fmt.Errorf("the manifests now hold the endpoints %v, and %v are served; restart to add or remove endpoints", names, was)
	}
	return nil
}

func (r *runner) replace(file *manifest.File, e manifest.Resolved) error {
	run := r.endpoints[key(e)]
	config, secrets, err := r.content(file, e, run.generation)
	if err != nil || fingerprint(config, secrets) == run.last {
		return err
	}
	run.generation++
	if config, secrets, err = r.content(file, e, run.generation); err != nil {
		return err
	}
	run.last = fingerprint(config, secrets)
	run.source.Set(config, secrets)
	return nil
}

func fingerprint(config []byte, secrets map[string][]byte) string {
	h := sha256.New()
	fmt.Fprintf(h, "%x\n", sha256.Sum256(config))
	for _, name := range slices.Sorted(maps.Keys(secrets)) {
		fmt.Fprintf(h, "%q %x\n", name, sha256.Sum256(secrets[name]))
	}
	return string(h.Sum(nil))
}
