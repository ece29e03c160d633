// Package record is the sink of the end-to-end tests: it takes events over HTTP,
// as CloudEvents in binary mode, and remembers them, so that a test can compare
// what was answered to a provider with what arrived. It keeps everything in
// memory, and refuses what is above its bounds; a test never restarts it.
//
// One Recorder may be several sinks: each path is one. Taken are
//
//	POST   /anything        an event, answered as the mode of the path says
//	GET    /events          a Page; ?since=N goes on after it, ?path=/x takes one
//	                        sink alone, ?brief=1 leaves out bodies and headers
//	GET    /counts          Counts
//	POST   /mode            a Mode
//	DELETE /events          forgets all events and counts
//	GET    /healthz         200
package record
