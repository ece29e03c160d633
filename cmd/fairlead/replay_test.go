package main

import (
	"testing"
	"time"

	"github.com/fairlead-dev/fairlead/cmd/fairlead/admin"
	v1 "github.com/fairlead-dev/fairlead/receiver/admin/v1"
)

// TestGoOn holds that whoever is told how to go on with a replay misses no receiver,
// also none whose turn had not come.
func TestGoOn(t *testing.T) {
	names := []string{"all-done", "stopped", "not-begun"}
	for name, tt := range map[string]struct {
		flags     replayFlags
		receivers int
		want      string
	}{
		"one": {replayFlags{}, 2, " with --after 7 --name mine --until 1970-01-01T00:00:09Z"},
		"pods": {replayFlags{receivers: receivers{inCluster: "chat", several: true}}, 3,
			" once for each of these, with --after 7 --name mine --pod stopped --until 1970-01-01T00:00:09Z, and with --name mine --pod not-begun --until 1970-01-01T00:00:09Z"},
		"some pods": {replayFlags{receivers: receivers{inCluster: "chat", several: true, pods: names[:2]}}, 2,
			" with --after 7 --name mine --pod stopped --until 1970-01-01T00:00:09Z and no other --pod"},
		"addresses": {replayFlags{receivers: receivers{several: true}, limit: 5}, 2,
			" with --after 7 --name mine --limit 1 --admin stopped --until 1970-01-01T00:00:09Z and no other --admin"},
	} {
		t.Run(name, func(t *testing.T) {
			f := tt.flags
			f.filter.Until = time.Unix(9, 0)
			chosen, done := map[*admin.Client][]v1.EventReplay{}, map[*admin.Client]int{}
			var all []*admin.Client
			for i, pod := range names[:tt.receivers] {
				to := admin.Of(pod, adminPort, mute("it is not asked"))
				all, chosen[to], done[to] = append(all, to), []v1.EventReplay{{Sequence: 7}, {Sequence: 8}}, 2-i
			}
			if got := f.goOn(all, &bulk{name: "mine"}, chosen, done); got != "to go on, give the same command"+tt.want {
				t.Errorf("got %q", got)
			}
		})
	}
}
