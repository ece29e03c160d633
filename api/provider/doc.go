// Package provider loads and checks profiles: what Fairlead knows about the
// services that send webhooks. A profile is data, a WebhookProvider manifest.
// The built-in ones stand in profiles/, one file each, and are the same in kind
// as those that users write.
//
// To add a provider, put a file into profiles/ and signing vectors, made with
// another implementation than ours, into testdata/vectors. Go code is only
// needed for a way of signing that package verify does not know yet.
package provider
