package main

import (
	"context"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
)

// programs are the two that are needed to run a receiver from a manifest.
type programs struct {
	fairlead string // makes the configuration
	receiver string // is measured
}

// receiverArgs lays out in dir what a pod mounts, made from the manifest, and
// returns the command that runs a receiver on it, its addresses aside.
func (p programs) receiverArgs(ctx context.Context, dir, manifest, secret string) ([]string, error) {
	render := exec.CommandContext(ctx, p.fairlead, "render", "--receiver-config", "-f", manifest) //nolint:gosec // the program that the caller wants measured
	render.Stderr = os.Stderr
	config, err := render.Output()
	if err != nil {
		return nil, fmt.Errorf("making the receiver's configuration: %w", err)
	}
	files := map[string][]byte{"config/config.yaml": config, "secrets/bench/benchkey": []byte(secret)}
	for name, content := range files {
		path := filepath.Join(dir, name)
		if err := os.MkdirAll(filepath.Dir(path), 0o700); err != nil {
			return nil, fmt.Errorf("making the receiver's folders: %w", err)
		}
		if err := os.WriteFile(path, content, 0o600); err != nil {
			return nil, fmt.Errorf("writing the receiver's files: %w", err)
		}
	}
	return []string{p.receiver, "--config", filepath.Join(dir, "config", "config.yaml"), "--secrets-dir", filepath.Join(dir, "secrets"),
		"--data-dir", filepath.Join(dir, "queue"), "--allow-loopback-sinks"}, nil
}
