// Package e2e installs Fairlead on a real cluster as its users do, by Helm and with
// the images that are published, and holds it to what it promises: README.md says
// how to run it. Its tests run inside the namespaces of a cluster that hack/cluster
// starts; `make e2e` does all of that.
//
// One test, TestE2E, has a subtest for each scenario; a scenario is a file. What
// they share is the rig: hosts that own addresses, sinks that keep what they are
// sent (recorder), and the table of what was shown.
package e2e
