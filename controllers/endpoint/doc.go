// Package endpoint reconciles WebhookEndpoints: it resolves them, builds what
// they need (controllers/desired), applies that, observes what came of it, and
// writes the status once.
//
// What may not live here: what an object looks like (controllers/desired), and
// what a provider is like (api/provider).
package endpoint
