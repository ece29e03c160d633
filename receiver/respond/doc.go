// Package respond asks responders: HTTP servers of the user's that answer a
// provider's synchronous hooks. A request of such a hook waits for the answer, so
// everything here is bounded by the responder's timeout, nothing is tried again,
// and one responder's trouble is no other's: each has its own connections, its own
// limit of requests at once, and its own circuit breaker.
//
// What the provider is answered when there is no answer is not known here: package
// intake has the profile's replies.
package respond
