package main

import (
	"runtime/debug"
	"testing"

	v1 "github.com/google/go-containerregistry/pkg/v1"
)

func TestCheckSettings(t *testing.T) {
	t.Parallel()
	good := map[string]string{
		"CGO_ENABLED": "0", "-trimpath": "true", "GOOS": "linux", "GOARCH": "arm64", "GOARM64": "v8.0",
	}
	for name, tt := range map[string]struct {
		key, value string
		ok         bool
	}{
		"good":       {"-compiler", "gc", true},
		"cgo":        {"CGO_ENABLED", "1", false},
		"paths":      {"-trimpath", "", false},
		"other arch": {"GOARCH", "amd64", false},
		"newer CPU":  {"GOARM64", "v9.0", false},
		"stamped":    {"vcs.revision", revision, false},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			info := &debug.BuildInfo{Settings: []debug.BuildSetting{{Key: tt.key, Value: tt.value}}}
			for k, v := range good {
				if k != tt.key {
					info.Settings = append(info.Settings, debug.BuildSetting{Key: k, Value: v})
				}
			}
			if err := checkSettings(info, v1.Platform{OS: "linux", Architecture: "arm64"}); (err == nil) != tt.ok {
				t.Errorf("error %v", err)
			}
		})
	}
}
