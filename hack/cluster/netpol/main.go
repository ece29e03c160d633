// Netpol enforces NetworkPolicies for the pods of one node by nftables, for tests.
// Whenever a pod, a namespace or a policy changes, it replaces one table as a whole.
//
// It judges new connections: those that a policy forbids later go on until they
// end. A pod is judged once the API server knows its address, which is shortly
// before it is Ready. Pods on the network of their host are not judged, and what the
// node itself sends, as the kubelet's probes, always passes. IPv4 only.
package main

import (
	"bytes"
	"context"
	"errors"
	"flag"
	"fmt"
	"log/slog"
	"os"
	"os/exec"
	"os/signal"
	"strings"
	"syscall"

	"k8s.io/client-go/kubernetes"
	"k8s.io/client-go/tools/clientcmd"
)

func main() {
	kubeconfig := flag.String("kubeconfig", "", "`file` that says where the API server is")
	flag.Parse()
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	err := run(ctx, *kubeconfig, slog.New(slog.NewTextHandler(os.Stderr, nil)))
	stop()
	if err != nil && !errors.Is(err, context.Canceled) {
		fmt.Fprintln(os.Stderr, "netpol:", err)
		os.Exit(1)
	}
}

// run enforces policies until ctx ends. It leaves its table as it is.
func run(ctx context.Context, kubeconfig string, log *slog.Logger) error {
	config, err := clientcmd.BuildConfigFromFlags("", kubeconfig)
	if err != nil {
		return fmt.Errorf("reading kubeconfig: %w", err)
	}
	client, err := kubernetes.NewForConfig(config)
	if err != nil {
		return fmt.Errorf("making a client: %w", err)
	}
	return enforce(ctx, client, nft, log)
}

// nft puts a ruleset into the kernel, all of it or nothing.
func nft(ctx context.Context, ruleset string) error {
	var said bytes.Buffer
	cmd := exec.CommandContext(ctx, "nft", "-f", "-")
	cmd.Stdin, cmd.Stderr = strings.NewReader(ruleset), &said
	if err := cmd.Run(); err != nil {
		return fmt.Errorf("running nft: %w: %s", err, bytes.TrimSpace(said.Bytes()))
	}
	return nil
}
