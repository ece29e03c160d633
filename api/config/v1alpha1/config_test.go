package v1alpha1_test

import (
	"encoding/json"
	"strings"
	"testing"

	config "github.com/fairlead-dev/fairlead/api/config/v1alpha1"
	"github.com/fairlead-dev/fairlead/api/v1alpha1"
)

// before is a configuration as it was written before there were whenFull of a
// sink, ordering and quarantine.
const before = `{
  "apiVersion": "config.fairlead.dev/v1alpha1", "kind": "ReceiverConfig",
  "endpoint": {"namespace": "shop", "name": "chat", "generation": 1},
  "provider": {"name": "acme", "revision": "sha256:0"},
  "path": "/",
  "signatures": [{"algorithm": "hmac-sha256", "header": "X-Sig", "encoding": "hex", "content": "{body}"}],
  "event": {"dedup": {"key": "ID"}},
  "replies": {},
  "hooks": [{"name": "push", "mode": "Async", "paths": [{"path": "/"}]}],
  "secret": {"dir": "signing"},
  "sources": {"mode": "Enforce", "ranges": ["192.0.2.0/24"]},
  "limits": {"maxBodyBytes": 1048576},
  "sinks": [{"name": "app", "stdout": {}, "delivery": {
    "maxAttempts": 20, "minBackoff": "1s", "maxBackoff": "10m", "maxAge": "72h", "timeout": "10s", "concurrency": 16}}],
  "queue": {"capacityBytes": 1073741824, "retention": "24h", "deadLetters": {"capacityBytes": 268435456, "whenFull": "Reject"}},
  "drain": {"delay": "5s", "grace": "60s"},
  "suspend": "None"
}`

// TestDecodeBefore holds that a receiver takes a configuration that an operator of
// before wrote, and writes it again as it was: one of before takes that too.
func TestDecodeBefore(t *testing.T) {
	c, err := config.Decode([]byte(before))
	if err != nil {
		t.Fatal(err)
	}
	if s := c.Sinks[0]; s.WhenFull != "" || s.Delivery.Ordering != "" || c.Queue.Quarantine != nil {
		t.Errorf("whenFull is %q, ordering %q, quarantine %v; want none", s.WhenFull, s.Delivery.Ordering, c.Queue.Quarantine)
	}
	data, err := json.Marshal(c)
	if err != nil {
		t.Fatal(err)
	}
	for _, field := range []string{`"ordering"`, `"quarantine"`} {
		if strings.Contains(string(data), field) {
			t.Errorf("it is written with %s", field)
		}
	}
}

func TestDecode(t *testing.T) {
	const kept = `"quarantine": {"maxRequests": 1, "capacityBytes": 1, "maxAge": "1m"}, "retention"`
	for name, tt := range map[string]struct {
		old, new string
		want     string // empty: it is taken
	}{
		"drop oldest":              {`"stdout": {}`, `"stdout": {}, "whenFull": "DropOldest"`, ""},
		"what to do when full":     {`"stdout": {}`, `"stdout": {}, "whenFull": "Burst"`, `whenFull "Burst"`},
		"dead letters full":        {`"whenFull": "Reject"`, `"whenFull": "Burst"`, `whenFull "Burst"`},
		"by subject":               {`"concurrency": 16`, `"concurrency": 16, "ordering": "BySubject"`, ""},
		"order":                    {`"concurrency": 16`, `"concurrency": 16, "ordering": "ByDate"`, `ordering "ByDate"`},
		"no attempts":              {`"maxAttempts": 20`, `"maxAttempts": 0`, "delivery"},
		"quarantine":               {`"retention"`, kept, ""},
		"quarantine of none":       {`"retention"`, strings.Replace(kept, `"maxRequests": 1`, `"maxRequests": 0`, 1), "quarantine"},
		"quarantine of no bytes":   {`"retention"`, strings.Replace(kept, `"capacityBytes": 1`, `"capacityBytes": 0`, 1), "quarantine"},
		"quarantine for no time":   {`"retention"`, strings.Replace(kept, `"1m"`, `"0s"`, 1), "quarantine"},
		"queue of no bytes":        {`"capacityBytes": 1073741824`, `"capacityBytes": 0`, "capacityBytes"},
		"field that nobody knows":  {`"retention"`, `"retentoin"`, "unknown field"},
		"schema":                   {`"path"`, `"schema": 1, "path"`, ""},
		"schema below none":        {`"path"`, `"schema": -1, "path"`, "negative"},
		"schema of later":          {`"path"`, `"schema": 99, "colour": "red", "path"`, "it has schema 99, and this program reads schemas up to"},
		"version that is not ours": {`dev/v1alpha1`, `dev/v2`, "this receiver reads"},
		"way out of the Secret":    {`"signing"`, `"../signing"`, "not a path below"},
		"something behind it":      {`"suspend": "None"` + "\n}", `"suspend": "None"}{}`, "behind the document"},
	} {
		t.Run(name, func(t *testing.T) {
			text := strings.Replace(before, tt.old, tt.new, 1)
			if text == before {
				t.Fatalf("the case changes nothing: %q is not there", tt.old)
			}
			_, err := config.Decode([]byte(text))
			switch {
			case tt.want == "" && err != nil:
				t.Error(err)
			case tt.want != "" && (err == nil || !strings.Contains(err.Error(), tt.want)):
				t.Errorf("err = %v, want one about %q", err, tt.want)
			}
		})
	}
}

func FuzzDecode(f *testing.F) {
	f.Add([]byte(before))
	f.Add([]byte(strings.Replace(before, `"stdout": {}`, `"stdout": {}, "whenFull": "DropOldest"`, 1)))
	f.Add([]byte(`{}`))
	f.Fuzz(func(t *testing.T, data []byte) {
		c, err := config.Decode(data)
		if err != nil {
			return
		}
		for _, s := range c.Sinks {
			if w := s.WhenFull; w != "" && w != v1alpha1.WhenFullReject && w != v1alpha1.WhenFullDropOldest {
				t.Errorf("sink %q: whenFull is %q", s.Name, w)
			}
		}
	})
}
