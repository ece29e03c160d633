// Package admin is what a receiver shows of itself: metrics, probes and the
// status page. It only reads; nothing here changes what the receiver does.
//
// Every label's values are bounded: hooks, sinks, rules and entries come from
// the configuration, outcomes and reasons from the code.
package admin
