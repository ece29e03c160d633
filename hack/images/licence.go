package main

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"maps"
	"os"
	"os/exec"
	"path"
	"path/filepath"
	"regexp"
	"runtime/debug"
	"slices"
	"strings"
)

// noAssertion is SPDX for "we do not say".
const noAssertion = "NOASSERTION"

// A part is something that a program is linked from, or that its image holds.
type part struct {
	path, version, sum, licence, comment string
	texts                                map[string][]byte // licences and notices by the name of their file
}

// A shelf knows where the source of modules is.
type shelf struct {
	goCommand, source string // source is the checkout that programs were compiled from
}

// parts returns what the program was linked from: its modules, and Go itself.
func (s shelf) parts(ctx context.Context, info *debug.BuildInfo) ([]part, error) {
	var all []part
	for _, m := range info.Deps {
		if m.Replace != nil {
			m = m.Replace
		}
		all = append(all, part{path: m.Path, version: m.Version, sum: m.Sum})
	}
	dirs, err := s.folders(ctx, s.source, all)
	if err != nil {
		return nil, err
	}
	out, err := s.run(ctx, s.source, "env", "GOROOT")
	if err != nil {
		return nil, err
	}
	all = append(all, part{path: "stdlib", version: strings.TrimPrefix(info.GoVersion, "go")})
	dirs["stdlib"] = strings.TrimSpace(out)
	return all, fill(all, dirs)
}

// certificates returns the part that the certificates in every image come from.
func (s shelf) certificates(ctx context.Context) (part, error) {
	dir := filepath.Join(s.source, "hack", "images")
	out, err := s.run(ctx, dir, "list", "-m", "-f", "{{.Version}}", rootsModule)
	if err != nil {
		return part{}, err
	}
	all := []part{{
		path: rootsModule, version: strings.TrimSpace(out),
		comment: "The certificates are those of Mozilla's NSS root store, which is under MPL-2.0",
	}}
	dirs, err := s.folders(ctx, dir, all)
	if err != nil {
		return part{}, err
	}
	return all[0], fill(all, dirs)
}

// folders returns where the source of each of parts is, by path.
func (s shelf) folders(ctx context.Context, dir string, parts []part) (map[string]string, error) {
	dirs := map[string]string{}
	if len(parts) == 0 {
		return dirs, nil
	}
	args := []string{"list", "-m", "-f", "{{.Path}}\t{{.Version}}\t{{.Dir}}"}
	for _, p := range parts {
		args = append(args, p.path)
	}
	out, err := s.run(ctx, dir, args...)
	if err != nil {
		return nil, err
	}
	found := map[string]string{}
	for line := range strings.Lines(out) {
		if f := strings.Split(strings.TrimSpace(line), "\t"); len(f) == 3 {
			dirs[f[0]], found[f[0]] = f[2], f[1]
		}
	}
	for _, p := range parts {
		if found[p.path] != p.version {
			return nil, fmt.Errorf("looking for the licence of %q: the program has version %s, and go.mod %q; compile it again", p.path, p.version, found[p.path])
		}
		if dirs[p.path] == "" {
			return nil, fmt.Errorf("looking for the licence of %q: its source is not there; run `go mod download`", p.path)
		}
	}
	return dirs, nil
}

func (s shelf) run(ctx context.Context, dir string, args ...string) (string, error) {
	var stderr bytes.Buffer
	cmd := exec.CommandContext(ctx, s.goCommand, args...) //nolint:gosec // the go command that the user names
	cmd.Dir, cmd.Stderr = dir, &stderr
	cmd.Env = append(os.Environ(), "GOWORK=off", "GOFLAGS=-mod=readonly")
	out, err := cmd.Output()
	if err != nil {
		return "", fmt.Errorf("running go %s %s: %w: %s", args[0], args[1], err, strings.TrimSpace(stderr.String()))
	}
	return string(out), nil
}

// fill reads the licences of parts. One without any is an error: it may not be
// given to anybody.
func fill(parts []part, dirs map[string]string) error {
	for i := range parts {
		p := &parts[i]
		texts, err := readTexts(dirs[p.path])
		if err != nil {
			return fmt.Errorf("reading licence of %q: %w", p.path, err)
		}
		p.texts, p.licence = texts, declared(texts)
	}
	return nil
}

// textName matches the files whose text has to go wherever a program goes.
var textName = regexp.MustCompile(`(?i)^(licen[cs]e|copying|notice|patents)([._-].*)?$`)

func readTexts(dir string) (map[string][]byte, error) {
	entries, err := os.ReadDir(dir)
	if err != nil {
		return nil, err
	}
	texts := map[string][]byte{}
	for _, e := range entries {
		if !e.Type().IsRegular() || !textName.MatchString(e.Name()) {
			continue
		}
		if texts[e.Name()], err = os.ReadFile(filepath.Join(dir, e.Name())); err != nil {
			return nil, err
		}
	}
	if len(texts) == 0 {
		return nil, errors.New("there is no file with a licence")
	}
	return texts, nil
}

// declared returns the SPDX expression for texts: every licence that is found in
// them holds, because which file of the module each is for is not looked at.
func declared(texts map[string][]byte) string {
	found := map[string]bool{}
	for name, text := range texts {
		if upper := strings.ToUpper(name); strings.HasPrefix(upper, "NOTICE") || strings.HasPrefix(upper, "PATENTS") {
			continue
		}
		for _, id := range licences(text) {
			found[id] = true
		}
	}
	if len(found) == 0 {
		return noAssertion
	}
	return strings.Join(slices.Sorted(maps.Keys(found)), " AND ")
}

// licences returns the SPDX identifiers of the licences that text has, told by
// phrases that each has to itself.
func licences(text []byte) []string {
	s := strings.Join(strings.Fields(strings.ToLower(string(text))), " ")
	var ids []string
	if strings.Contains(s, "apache license version 2.0, january 2004") || strings.Contains(s, "licensed under the apache license, version 2.0") {
		ids = append(ids, "Apache-2.0")
	}
	if strings.Contains(s, "redistribution and use in source and binary forms") {
		if strings.Contains(s, "endorse or promote products") {
			ids = append(ids, "BSD-3-Clause")
		} else {
			ids = append(ids, "BSD-2-Clause")
		}
	}
	if strings.Contains(s, "permission to use, copy, modify, and distribute this software for any purpose with or without fee") ||
		strings.Contains(s, "permission to use, copy, modify, and/or distribute this software for any purpose with or without fee") {
		ids = append(ids, "ISC")
	}
	if strings.Contains(s, "permission is hereby granted, free of charge") && strings.Contains(s, "shall be included in all") {
		ids = append(ids, "MIT")
	}
	if strings.Contains(s, "mozilla public license version 2.0") || strings.Contains(s, "mozilla public license, version 2.0") {
		ids = append(ids, "MPL-2.0")
	}
	return ids
}

// textFiles returns the texts of parts as files of an image.
func textFiles(parts []part) map[string]file {
	files := map[string]file{}
	for _, p := range parts {
		for name, text := range p.texts {
			files[path.Join("licenses", p.path+"@"+p.version, name)] = file{text, 0o644}
		}
	}
	return files
}
