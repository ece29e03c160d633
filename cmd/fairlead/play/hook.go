package play

import (
	"errors"
	"fmt"
	"net/url"
	"strings"
	"time"

	"github.com/fairlead-dev/fairlead/api/v1alpha1"
)

// The hooks whose requests and answers are known here, by their names in the
// profiles.
const (
	hookBeforeMessageSend = "before-message-send"
	hookCustomCommands    = "custom-commands"
	hookPreHook           = "pre-hook"
)

// target is where a player's requests go: one of the profile's hooks, and one of
// that hook's paths.
type target struct {
	hook *v1alpha1.Hook // nil: as the user says, which hook that is does not matter
	path *v1alpha1.HookPath
}

// findTarget finds the hook that the options name. Of several paths it is the one
// of the type of event that they name, else the first.
func findTarget(p *v1alpha1.WebhookProvider, o *Options) (target, error) {
	if o.Hook == "" {
		return target{}, nil
	}
	var names []string
	for i := range p.Spec.Hooks {
		h := &p.Spec.Hooks[i]
		names = append(names, h.Name)
		if h.Name != o.Hook {
			continue
		}
		t := target{hook: h, path: &h.Paths[0]}
		for j := range h.Paths {
			if o.Event != "" && h.Paths[j].EventType == o.Event {
				t.path = &h.Paths[j]
			}
		}
		if o.Event != "" && t.path.EventType != "" && t.path.EventType != o.Event {
			return target{}, fmt.Errorf("hook %q of provider %q has no events of type %q; choose from %s", o.Hook, p.Name, o.Event, typesOf(h))
		}
		return t, nil
	}
	return target{}, fmt.Errorf("provider %q has no hook %q; choose from %s", p.Name, o.Hook, strings.Join(names, ", "))
}

func typesOf(h *v1alpha1.Hook) string {
	var all []string
	for i := range h.Paths {
		all = append(all, h.Paths[i].EventType)
	}
	return strings.Join(all, ", ")
}

// below returns the path that is put behind the endpoint's.
func (t target) below() string {
	if t.path == nil || t.path.Path == "/" {
		return ""
	}
	return t.path.Path
}

// kind returns the type of the events to make.
func (p *Player) kind() string {
	switch {
	case p.options.Event != "":
		return p.options.Event
	case p.target.path != nil && p.target.path.EventType != "":
		return p.target.path.EventType
	case p.target.hook != nil && p.target.hook.Name == hookPreHook:
		return "message.shouldCreate"
	}
	return ordinary(p.profile.Name)
}

// query returns what stands behind the path: for Stream's custom commands the
// command, which the customer's URL asks for by {type}.
func (p *Player) query() url.Values {
	q := url.Values{}
	if p.profile.Name == streamChat && p.target.hook != nil && p.target.hook.Name == hookCustomCommands {
		q.Set("type", p.command())
	}
	for name, values := range p.options.Query {
		q[name] = values
	}
	return q
}

func (p *Player) command() string {
	if p.options.Command != "" {
		return p.options.Command
	}
	return "echo"
}

// Sync reports whether the requests are of a hook whose answer the provider acts
// on.
func (p *Player) Sync() bool { return p.target.hook != nil && p.target.hook.Mode == v1alpha1.HookSync }

// Hook returns the name of the hook that is played; empty if none was named.
func (p *Player) Hook() string {
	if p.target.hook == nil {
		return ""
	}
	return p.target.hook.Name
}

// Deadline returns how long the provider waits for an answer: as the options say,
// else as its profile does; 0 if that is not known.
func (p *Player) Deadline() time.Duration {
	if p.options.Deadline > 0 || p.target.hook == nil || p.target.hook.Deadline == "" {
		return p.options.Deadline
	}
	d, err := p.target.hook.Deadline.Parse()
	if err != nil {
		return 0 // a profile with such a deadline is refused where it is loaded
	}
	return d
}

// at returns the URL of a request: the endpoint's with the hook's path behind it,
// unless that stands there already, and the query.
func (r *Request) at(endpoint string) (string, error) {
	u, err := url.Parse(endpoint)
	if err != nil {
		return "", errors.New("the endpoint's URL cannot be parsed") // the cause would show it
	}
	if r.Below != "" && !strings.HasSuffix(u.Path, r.Below) {
		u = u.JoinPath(r.Below)
	}
	if len(r.Query) > 0 {
		q := u.Query()
		for name, values := range r.Query {
			q[name] = values
		}
		u.RawQuery = q.Encode()
	}
	return u.String(), nil
}
