// Package v1 is the admin API of a receiver: what a person asks and orders, as
// JSON below /v1/. Where telemetry only reads, this changes what the receiver
// does, and shows bodies; so it is served on loopback alone, and refuses what a
// browser could be made to send.
//
// The types here are the API's, for its clients too. README.md says how to call
// it.
package v1
