package main

import (
	"path/filepath"
	"strings"

	"github.com/spf13/cobra"
)

// call names the tool as it was called: a program whose name begins with kubectl- is
// a plugin of kubectl, and people write a space for the dash. What it returns puts
// that name into a text.
func call(root *cobra.Command, program string) (say func(string) string) {
	name := strings.TrimSuffix(filepath.Base(program), ".exe")
	if !strings.HasPrefix(name, "kubectl-") {
		return func(text string) string { return text }
	}
	display := "kubectl " + root.Name()
	root.Annotations = map[string]string{cobra.CommandDisplayNameAnnotation: display}
	var pairs []string
	for _, verb := range root.Commands() {
		pairs = append(pairs, root.Name()+" "+verb.Name(), display+" "+verb.Name())
	}
	say = strings.NewReplacer(pairs...).Replace
	rename(root, say)
	return say
}

// rename changes the texts of a command and of those below it.
func rename(cmd *cobra.Command, say func(string) string) {
	cmd.Long, cmd.Example = say(cmd.Long), say(cmd.Example)
	for _, below := range cmd.Commands() {
		rename(below, say)
	}
}
