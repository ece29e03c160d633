// Images packs compiled programs into container images and pushes them, without a
// container engine. `make images` and `make images-push` run it; README.md says
// what an image holds.
package main

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"io"
	"os"
	"os/signal"
	"strings"
	"syscall"
)

const usage = `Images packs compiled programs into container images, and pushes them.

  images pack --binaries DIR --source DIR --version V --revision SHA [flags]
      make an OCI layout, a tar for "ctr images import" and SBOMs of each program
  images push --to REGISTRY/PATH [--from DIR] [--tag TAG]...
      send what was packed to a registry, as whoever "docker login" made you
  images tar --name REGISTRY/NAME:TAG --program FILE --out FILE.tar
      make a tar for "ctr images import" of one static program, for tests

"images pack --help" and so on list the flags.
`

func main() {
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	err := run(ctx, os.Args[1:], os.Stdout)
	stop()
	if err != nil && !errors.Is(err, flag.ErrHelp) {
		fmt.Fprintf(os.Stderr, "images: %v\n", err)
		os.Exit(1)
	}
}

func run(ctx context.Context, args []string, out io.Writer) error {
	if len(args) == 0 {
		args = []string{"--help"}
	}
	switch verb, rest := args[0], args[1:]; verb {
	case "pack":
		return pack(ctx, rest, out)
	case "push":
		return pushCommand(ctx, rest, out)
	case "tar":
		return tarCommand(rest, out)
	case "-h", "-help", "--help", "help":
		_, err := io.WriteString(out, usage)
		return err
	default:
		return fmt.Errorf("there is no verb %q; see --help", verb)
	}
}

// list is a flag that may be given more than once.
type list []string

func (l *list) String() string { return strings.Join(*l, ",") }

func (l *list) Set(s string) error {
	*l = append(*l, s)
	return nil
}

// parse reads args, and wants every flag of required to have a value.
func parse(fs *flag.FlagSet, args []string, out io.Writer, required ...string) error {
	fs.SetOutput(out)
	if err := fs.Parse(args); err != nil {
		return fmt.Errorf("reading flags: %w", err)
	}
	if fs.NArg() > 0 {
		return fmt.Errorf("reading flags: %q is no flag; see %s --help", fs.Arg(0), fs.Name())
	}
	for _, name := range required {
		if fs.Lookup(name).Value.String() == "" {
			return fmt.Errorf("reading flags: --%s is missing; see %s --help", name, fs.Name())
		}
	}
	return nil
}
