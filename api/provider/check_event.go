package provider

import (
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/fairlead-dev/fairlead/api/v1alpha1"
)

const (
	maxSources = 4
	maxHeaders = 16
	maxIgnore  = 8
	maxShape   = 8
	maxWindow  = 168 * time.Hour
)

func (c *checker) event(path string, spec *v1alpha1.WebhookProviderSpec) {
	e := &spec.Event
	credentials := credentialHeaders(spec.Signatures)
	for _, f := range []struct {
		name    string
		sources []v1alpha1.FieldSource
		least   int
	}{{"id", e.ID, 0}, {"type", e.Type, 1}, {"subject", e.Subject, 0}, {"time", e.Time, 0}, {"attempt", e.Attempt, 0}} {
		at := path + "." + f.name
		c.size(at, len(f.sources), f.least, maxSources)
		for i, s := range f.sources {
			c.fieldSource(fmt.Sprintf("%s[%d]", at, i), s, credentials)
		}
	}
	if !typePrefixShape.MatchString(e.TypePrefix) {
		c.addf(path+".typePrefix", "must be at most 128 characters of a-z, A-Z, 0-9, '-', '.' and '_'")
	}
	c.dedup(path+".dedup", e)
	c.eventHeaders(path+".headers", e.Headers, credentials)
}

func (c *checker) fieldSource(path string, s v1alpha1.FieldSource, credentials []string) {
	c.exactlyOne(path, "header, jsonPath, value", s.Header != "", s.JSONPath != "", s.Value != "")
	if s.Header != "" {
		c.header(path+".header", s.Header)
		if slices.Contains(credentials, strings.ToLower(string(s.Header))) {
			c.addf(path+".header", "holds a credential, which must not become part of an event")
		}
	}
	if s.JSONPath != "" {
		c.jsonPath(path+".jsonPath", s.JSONPath)
	}
	if len(s.Value) > maxText {
		c.addf(path+".value", "must have at most %d characters", maxText)
	}
}

func (c *checker) dedup(path string, e *v1alpha1.EventFields) {
	oneOf(c, path+".key", e.Dedup.Key, v1alpha1.DedupID, v1alpha1.DedupBodySHA256, v1alpha1.DedupNone)
	c.duration(path+".window", e.Dedup.Window, time.Second, maxWindow)
	if e.Dedup.Key == v1alpha1.DedupID && len(e.ID) == 0 {
		c.addf(path+".key", "is ID, but spec.event.id names no place for an id: every request would be a new event; use BodySHA256 or None")
	}
}

// eventHeaders checks the headers that go to sinks.
func (c *checker) eventHeaders(path string, list []v1alpha1.HeaderName, credentials []string) {
	c.size(path, len(list), 0, maxHeaders)
	c.headers(path, list)
	for i, h := range list {
		name := strings.ToLower(string(h))
		at := fmt.Sprintf("%s[%d]", path, i)
		switch {
		case slices.Contains(credentials, name):
			c.addf(at, "holds a credential, which never goes to sinks")
		case reservedHeader(name):
			c.addf(at, "cookies, hop-by-hop, forwarding and ce- headers, and those of the body, never go to sinks")
		}
	}
}

// credentialHeaders returns the headers that hold a secret as it is, in lower
// case.
func credentialHeaders(sigs []v1alpha1.Signature) []string {
	list := []string{"authorization", "cookie", "proxy-authorization"}
	for _, s := range sigs {
		if isCredential(s.Algorithm) {
			list = append(list, strings.ToLower(string(s.Header)))
		}
	}
	return list
}

// reservedHeader reports whether a header, in lower case, belongs to one
// connection or is written anew by sinks.
func reservedHeader(name string) bool {
	if strings.HasPrefix(name, "ce-") || strings.HasPrefix(name, "x-forwarded-") {
		return true
	}
	switch name {
	case "host", "content-length", "content-type", "content-encoding", "connection", "keep-alive",
		"proxy-authenticate", "proxy-connection", "te", "trailer", "transfer-encoding", "upgrade", "forwarded":
		return true
	}
	return false
}

func (c *checker) ignore(path string, rules []v1alpha1.IgnoreRule) {
	c.size(path, len(rules), 0, maxIgnore)
	seen := map[string]bool{}
	for i, r := range rules {
		at := fmt.Sprintf("%s[%d]", path, i)
		c.name(at+".name", r.Name)
		c.once(at+".name", r.Name, seen)
		c.size(at+".present", len(r.Present), 1, maxShape)
		c.size(at+".absent", len(r.Absent), 0, maxShape)
		c.headers(at+".present", r.Present)
		c.headers(at+".absent", r.Absent)
	}
}
