//go:build race

package verify_test

// raceDetector is true because the race detector, which makes sync.Pool drop things
// at random, is on.
const raceDetector = true
