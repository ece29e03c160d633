package v1alpha1

import (
	"errors"
	"fmt"

	"github.com/fairlead-dev/fairlead/api/v1alpha1"
)

func (c *Config) validateResponders() error {
	named, defaults := map[[2]string]bool{}, map[string]bool{}
	for i := range c.Responders {
		r := &c.Responders[i]
		if err := r.validate(); err != nil {
			return fmt.Errorf("responder %q of hook %q: %w", r.Name, r.Hook, err)
		}
		key := [2]string{r.Hook, r.Name}
		if named[key] || r.Filter == "" && defaults[r.Hook] {
			return fmt.Errorf("responder %q of hook %q: another has its name, or has no filter either", r.Name, r.Hook)
		}
		named[key] = true
		defaults[r.Hook] = defaults[r.Hook] || r.Filter == ""
	}
	for i := range c.Responders {
		if hook := c.Responders[i].Hook; !defaults[hook] {
			return fmt.Errorf("no responder of hook %q is without a filter: nobody would be asked if none matches", hook)
		}
	}
	return nil
}

func (r *Responder) validate() error {
	switch {
	case r.Name == "" || r.Hook == "":
		return errors.New("it has no name or no hook")
	case r.HTTP == nil:
		return errors.New("http must be set")
	case r.Timeout.Duration <= 0 || r.Concurrency < 1:
		return errors.New("timeout or concurrency is zero or negative")
	case r.OnFailure != v1alpha1.FailureAllow && r.OnFailure != v1alpha1.FailureDeny:
		return fmt.Errorf("onFailure %q is neither %s nor %s", r.OnFailure, v1alpha1.FailureAllow, v1alpha1.FailureDeny)
	}
	return r.HTTP.validate()
}
