//go:build race

package embedded_test

// raced says that the race detector runs, which slows Pebble down tenfold: it then
// checks its own invariants too.
const raced = true
