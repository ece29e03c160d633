// Package server puts the parts of a receiver together: it reads the
// configuration, opens the queue, starts a dispatcher for each sink, serves
// HTTP, takes changes live, and ends in an order that loses nothing.
//
// It is called by the receiver's main, and by fairlead run: what a user tries on
// a desk is what runs in a pod.
package server
