// Package desired says what an endpoint needs in the cluster: the objects that
// the operator applies and `fairlead render` prints. It is pure: the same endpoint
// and inputs give the same objects. What may not live here is anything that
// asks: a client, the clock, the environment.
//
// There is a function for each object. Objects are server-side apply
// configurations and set only what is the operator's; what they leave out is
// left to defaults and to others.
package desired
