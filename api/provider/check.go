package provider

import "github.com/fairlead-dev/fairlead/api/v1alpha1"

// Check is a placeholder.
func Check(p *v1alpha1.WebhookProvider) error { return nil }
