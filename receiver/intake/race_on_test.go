//go:build race

package intake_test

// raceDetector is true because the race detector, with which everything takes ten
// times as long, is on.
const raceDetector = true
