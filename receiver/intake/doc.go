// Package intake is the HTTP side of the receiver: it finds out where a request
// comes from, bounds what it may cost, verifies it, stores it, and only then
// answers it as the provider's profile says.
//
// The order of the steps is the design's: what is cheap and needs no trust comes
// first, and nothing that a stranger can choose is stored, logged or made a
// metric's label before a signature has matched.
//
// No provider's name stands here: profiles are data.
package intake
