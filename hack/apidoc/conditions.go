package main

import (
	"bytes"
	"fmt"
	"go/ast"
	"go/parser"
	"go/token"
	"strconv"
	"strings"
)

// group is a block of constants: the types of conditions, or the reasons of some.
type group struct {
	// Text is the block's comment; empty for a constant that stands alone.
	Text    string
	Entries []entry
}

// entry is a condition's type or a reason, with its comment.
type entry struct{ Value, Text string }

// conditions are the types of conditions and their reasons.
type conditions struct{ Types, Reasons []group }

// The constants that are read begin with one of these.
const (
	conditionPrefix = "Condition"
	reasonPrefix    = "Reason"
)

// parseConditions reads the constants of a Go file. A constant without a comment is
// an error: its reader would not know what to do.
func parseConditions(name string, src []byte) (*conditions, error) {
	file, err := parser.ParseFile(token.NewFileSet(), name, src, parser.ParseComments)
	if err != nil {
		return nil, fmt.Errorf("parsing Go: %w", err)
	}
	c := &conditions{}
	for _, d := range file.Decls {
		decl, ok := d.(*ast.GenDecl)
		if !ok || decl.Tok != token.CONST {
			continue
		}
		if err := c.add(decl); err != nil {
			return nil, err
		}
	}
	return c, nil
}

// add reads one declaration of constants.
func (c *conditions) add(decl *ast.GenDecl) error {
	var types, reasons group
	types.Text = text(decl.Doc.Text())
	reasons.Text = types.Text
	for _, s := range decl.Specs {
		spec := s.(*ast.ValueSpec) // a declaration of constants holds nothing else
		name, doc := spec.Names[0].Name, spec.Doc
		if !decl.Lparen.IsValid() {
			doc, reasons.Text = decl.Doc, ""
		}
		of := &reasons
		switch {
		case strings.HasPrefix(name, conditionPrefix):
			of = &types
		case !strings.HasPrefix(name, reasonPrefix):
			continue
		}
		e, err := newEntry(name, doc.Text(), spec.Values)
		if err != nil {
			return err
		}
		of.Entries = append(of.Entries, e)
	}
	if len(types.Entries) > 0 {
		c.Types = append(c.Types, types)
	}
	if len(reasons.Entries) > 0 {
		c.Reasons = append(c.Reasons, reasons)
	}
	return nil
}

// newEntry takes the constant's name off its comment.
func newEntry(name, comment string, values []ast.Expr) (entry, error) {
	comment = text(comment)
	rest, ok := strings.CutPrefix(comment, name)
	rest = strings.TrimSpace(strings.TrimPrefix(rest, ":"))
	if !ok || rest == "" || len(values) != 1 {
		return entry{}, fmt.Errorf("constant %s: write a comment that begins with its name and says what to do", name)
	}
	lit, ok := values[0].(*ast.BasicLit)
	if !ok {
		return entry{}, fmt.Errorf("constant %s: it is no literal", name)
	}
	value, err := strconv.Unquote(lit.Value)
	if err != nil {
		return entry{}, fmt.Errorf("constant %s: %w", name, err)
	}
	return entry{value, sentence(rest)}, nil
}

// sentence gives a text a capital, unless it begins with a field.
func sentence(s string) string {
	if first, _, _ := strings.Cut(s, " "); strings.Contains(strings.TrimRight(first, ".,:;"), ".") {
		return s
	}
	return strings.ToUpper(s[:1]) + s[1:]
}

// table lists the reasons with their meaning, a line each.
func (c *conditions) table() []byte {
	var b bytes.Buffer
	for _, g := range c.Reasons {
		for _, e := range g.Entries {
			text := e.Text
			if _, rest, ok := strings.Cut(text, ": "); ok && strings.HasPrefix(text, "Is of ") {
				text = sentence(rest) // beside the condition nobody needs to be told of which it is
			}
			fmt.Fprintf(&b, "%s\t%s\n", e.Value, text)
		}
	}
	return b.Bytes()
}

// mainKind has every condition and reason; another kind has those whose comments
// name it.
const mainKind = "WebhookEndpoint"

// of returns those of a kind.
func (c *conditions) of(kind string) *conditions {
	if kind == mainKind {
		return c
	}
	own := &conditions{}
	for _, g := range c.Types {
		var some []entry
		for _, e := range g.Entries {
			if strings.Contains(e.Text, kind) {
				some = append(some, e)
			}
		}
		if len(some) > 0 {
			own.Types = append(own.Types, group{g.Text, some})
		}
	}
	for _, g := range c.Reasons {
		if strings.Contains(g.Text, kind) {
			own.Reasons = append(own.Reasons, g)
		}
	}
	return own
}

// conditionsHeading is the heading under which a kind's conditions are described.
func conditionsHeading(kind string) string { return kind + " conditions and reasons" }

// conditions describes the conditions of a kind, if it has any.
func (p *page) conditions(c *conditions) {
	if len(c.Types) == 0 {
		return
	}
	fmt.Fprintf(p, "\n### %s\n", conditionsHeading(p.kind))
	for _, g := range c.Types {
		p.group("type", "meaning", g)
	}
	for _, g := range c.Reasons {
		p.group("reason", "meaning, and what to do", g)
	}
}

func (p *page) group(what, meaning string, g group) {
	p.WriteString("\n")
	if g.Text != "" {
		p.WriteString(g.Text + "\n\n")
	}
	fmt.Fprintf(p, "| %s | %s |\n|---|---|\n", what, meaning)
	for _, e := range g.Entries {
		fmt.Fprintf(p, "| `%s` | %s |\n", e.Value, cell(e.Text))
	}
}
