package main

import (
	"errors"
	"fmt"
	"strings"

	"go.yaml.in/yaml/v3"
)

// setting is a value of the chart, and what its comment says.
type setting struct {
	path     []string
	section  string // of the whole file: the last line "## …" above
	text     string // what the comment says, in one line
	schema   map[string]any
	value    *yaml.Node
	children []setting // of a mapping that is not empty
}

// name is how people write it, as in image.tag.
func (s setting) name() string { return strings.Join(s.path, ".") }

var (
	errTop        = errors.New("values are no mapping")
	errNoComment  = errors.New("it has no comment; write what it does above it")
	errMultiline  = errors.New("a line @schema stands before text; put it last")
	errNoContents = errors.New("an empty default does not say what may stand there; add a line @schema")
)

// parseValues reads values.yaml. Every leaf must have a comment.
func parseValues(data []byte) ([]setting, error) {
	var doc yaml.Node
	if err := yaml.Unmarshal(data, &doc); err != nil {
		return nil, err
	}
	if len(doc.Content) != 1 || doc.Content[0].Kind != yaml.MappingNode {
		return nil, errTop
	}
	return parseMapping(strings.Split(string(data), "\n"), nil, doc.Content[0])
}

func parseMapping(lines, path []string, m *yaml.Node) ([]setting, error) {
	var all []setting
	for i := 0; i < len(m.Content); i += 2 {
		s := setting{path: append(path[:len(path):len(path)], m.Content[i].Value), value: m.Content[i+1]}
		if err := s.parse(lines, m.Content[i].Line); err != nil {
			return nil, fmt.Errorf("value %q: %w", s.name(), err)
		}
		if s.value.Kind == yaml.MappingNode && len(s.value.Content) > 0 {
			var err error
			if s.children, err = parseMapping(lines, s.path, s.value); err != nil {
				return nil, err
			}
		} else if s.text == "" {
			return nil, fmt.Errorf("value %q: %w", s.name(), errNoComment)
		}
		all = append(all, s)
	}
	return all, nil
}

// parse reads the comment above the line with the key.
func (s *setting) parse(lines []string, line int) error {
	above := line - 1 // lines[line-1] is the key's
	for above > 0 && isComment(lines[above-1]) {
		above--
	}
	var text []string
	for _, l := range lines[above : line-1] {
		l = strings.TrimSpace(strings.TrimPrefix(strings.TrimSpace(l), "#"))
		marker, ok := strings.CutPrefix(l, "@schema ")
		switch {
		case ok && s.schema == nil:
			if err := yaml.Unmarshal([]byte(marker), &s.schema); err != nil {
				return fmt.Errorf("reading @schema: %w", err)
			}
		case s.schema != nil:
			return errMultiline
		case l != "":
			text = append(text, l)
		}
	}
	s.text = strings.Join(text, " ")
	for _, l := range lines[:line] {
		if title, ok := strings.CutPrefix(l, "## "); ok {
			s.section = title
		}
	}
	empty := (s.value.Kind == yaml.MappingNode || s.value.Kind == yaml.SequenceNode) && len(s.value.Content) == 0
	if (empty || s.value.Tag == "!!null") && s.schema == nil {
		return errNoContents
	}
	return nil
}

// isComment reports whether a line is part of a value's comment: not a title.
func isComment(line string) bool {
	line = strings.TrimSpace(line)
	return strings.HasPrefix(line, "#") && !strings.HasPrefix(line, "##")
}
