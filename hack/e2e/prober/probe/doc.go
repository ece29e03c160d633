// Package probe plays a provider at an endpoint: one signed event every so often,
// whatever becomes of the others, and a line about each. What it knows of
// providers it knows from their documentation, and shares no code with the
// product.
//
// It never sends again by itself what its HTTP client could not send, unlike
// Go's: every request that gets no answer is told of.
package probe
