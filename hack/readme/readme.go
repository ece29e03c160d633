// Package readme knows the commands that pages for users tell their readers to type,
// and which test runs each of them.
package readme

import (
	"fmt"
	"os"
	"path/filepath"
	"strings"
)

// Command is one command of a page.
type Command struct {
	// Page is the page's path below the root of the repository.
	Page string
	// Section is the heading under which it stands.
	Section string
	// Line is the line on which it begins.
	Line int
	// Text is what is typed, on one line: without its remark, and without the
	// backslashes of a command that goes over several lines.
	Text string
}

// String says where the command stands.
func (c Command) String() string { return fmt.Sprintf("%s:%d: %s", c.Page, c.Line, c.Text) }

// Block is a fenced block of a page.
type Block struct {
	Section, Language string
	// Line is that of the first line within.
	Line  int
	Lines []string
}

// Read returns the commands of a page of the repository whose root is named.
func Read(root, page string) ([]Command, error) {
	blocks, err := ReadBlocks(root, page)
	if err != nil {
		return nil, err
	}
	return commands(page, blocks), nil
}

// ReadBlocks returns the fenced blocks of a page, in order.
func ReadBlocks(root, page string) ([]Block, error) {
	data, err := os.ReadFile(filepath.Join(root, filepath.FromSlash(page)))
	if err != nil {
		return nil, fmt.Errorf("reading page: %w", err)
	}
	return Blocks(string(data)), nil
}

// Blocks returns the fenced blocks of a text in Markdown, in order. One that is not
// closed goes to the end.
func Blocks(text string) []Block {
	var all []Block
	section, open := "", false
	for i, line := range strings.Split(text, "\n") {
		language, fence := strings.CutPrefix(strings.TrimSpace(line), "```")
		switch {
		case fence && open:
			open = false
		case fence:
			open = true
			all = append(all, Block{Section: section, Language: language, Line: i + 2})
		case open:
			b := &all[len(all)-1]
			b.Lines = append(b.Lines, line)
		case strings.HasPrefix(line, "#"):
			section = strings.TrimSpace(strings.TrimLeft(line, "#"))
		}
	}
	return all
}

// commands returns what is typed in blocks: those with the language sh, or with
// none. Lines of JSON are what a command prints.
func commands(page string, blocks []Block) []Command {
	var all []Command
	for _, b := range blocks {
		if b.Language != "" && b.Language != "sh" {
			continue
		}
		begun := false
		for i, line := range b.Lines {
			line = withoutRemark(line)
			if line == "" || strings.HasPrefix(line, `{"`) {
				continue
			}
			text, goesOn := strings.CutSuffix(line, `\`)
			text = strings.TrimSpace(text)
			if begun {
				last := &all[len(all)-1]
				last.Text += " " + text
			} else {
				all = append(all, Command{Page: page, Section: b.Section, Line: b.Line + i, Text: text})
			}
			begun = goesOn
		}
	}
	return all
}

// withoutRemark drops a remark: a line that is one, or what stands behind two spaces
// and a number sign.
func withoutRemark(line string) string {
	line = strings.TrimSpace(line)
	if strings.HasPrefix(line, "#") {
		return ""
	}
	if i := strings.Index(line, "  #"); i >= 0 {
		line = line[:i]
	}
	return strings.TrimSpace(line)
}
