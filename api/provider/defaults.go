package provider

import "github.com/fairlead-dev/fairlead/api/v1alpha1"

// SetDefaults fills in what the CRD fills in, and nothing else: a profile that
// was read from an API server is not changed. A reply that is missing stays
// missing.
func SetDefaults(p *v1alpha1.WebhookProvider) {
	s := &p.Spec
	for i := range s.Signatures {
		setSignatureDefaults(&s.Signatures[i])
	}
	setDefault(&s.Event.Dedup.Window, "10m")
	for _, r := range replies(&s.Replies) {
		setReplyDefaults(r.reply)
	}
	for i := range s.Hooks {
		setReplyDefaults(s.Hooks[i].Allow)
		setReplyDefaults(s.Hooks[i].Deny)
	}
	for i := range s.Challenges {
		setReplyDefaults(&s.Challenges[i].Answer)
	}
}

func setSignatureDefaults(sig *v1alpha1.Signature) {
	setDefault(&sig.Encoding, v1alpha1.EncodingText)
	setDefault(&sig.SignedBody, v1alpha1.SignedBodyWire)
	if sig.Secret == nil {
		sig.Secret = &v1alpha1.SecretFormat{}
	}
	setDefault(&sig.Secret.Encoding, v1alpha1.EncodingText)
	if f := sig.Format; f != nil && f.KeyValues != nil {
		setDefault(&f.KeyValues.Separator, ",")
	}
	if f := sig.Format; f != nil && f.Versions != nil {
		setDefault(&f.Versions.Separator, " ")
		setDefault(&f.Versions.VersionSeparator, ",")
	}
	if at := sig.SignedAt; at != nil {
		setDefault(&at.Unit, v1alpha1.UnitSeconds)
		setDefault(&at.Past, "5m")
		setDefault(&at.Future, "5m")
	}
}

func setReplyDefaults(r *v1alpha1.Reply) {
	if r != nil && *r != (v1alpha1.Reply{}) {
		setDefault(&r.ContentType, "application/json")
	}
}

// setDefault gives a field that is empty its default.
func setDefault[T ~string](field *T, value T) {
	if *field == "" {
		*field = value
	}
}

// outcome is a reply with the outcome that it answers.
type outcome struct {
	name  string
	reply *v1alpha1.Reply
}

// replies lists all replies in the order of the type's fields.
func replies(r *v1alpha1.Replies) []outcome {
	return []outcome{
		{"accepted", &r.Accepted},
		{"duplicate", &r.Duplicate},
		{"ignored", &r.Ignored},
		{"suspended", &r.Suspended},
		{"unauthenticated", &r.Unauthenticated},
		{"unlisted", &r.Unlisted},
		{"tooLarge", &r.TooLarge},
		{"malformed", &r.Malformed},
		{"rateLimited", &r.RateLimited},
		{"overloaded", &r.Overloaded},
		{"failed", &r.Failed},
		{"misrouted", &r.Misrouted},
	}
}
