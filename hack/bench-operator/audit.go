package main

import (
	"bufio"
	"encoding/json"
	"fmt"
	"io"
	"os"
)

// audit reads what the API server recorded of the operator.
type audit struct {
	path string
	read int64 // up to here it was counted
}

// counts are requests of the operator.
type counts struct {
	applies, statuses, events, deletes int
	refused                            int // of all these, such as conflicts
	gets                               int
}

// writes are all but the gets.
func (c counts) writes() int { return c.applies + c.statuses + c.events + c.deletes }

func (c counts) plus(d counts) counts {
	return counts{c.applies + d.applies, c.statuses + d.statuses, c.events + d.events, c.deletes + d.deletes, c.refused + d.refused, c.gets + d.gets}
}

// entry is one request in the log.
type entry struct {
	Verb      string
	ObjectRef struct{ Resource, Subresource string }
	Status    struct{ Code int } `json:"responseStatus"`
}

// since counts the requests since it was last called. The API server writes an
// entry before it answers, so none is missing of what has been answered.
func (a *audit) since() (counts, error) {
	f, err := os.Open(a.path)
	if err != nil {
		return counts{}, err
	}
	defer f.Close()
	if _, err := f.Seek(a.read, io.SeekStart); err != nil {
		return counts{}, err
	}
	c, n, err := count(f)
	a.read += n
	return c, err
}

// count reads whole lines, and returns how many bytes they have.
func count(r io.Reader) (c counts, n int64, err error) {
	lines := bufio.NewReader(r)
	for {
		text, err := lines.ReadBytes('\n')
		if err == io.EOF {
			return c, n, nil
		}
		if err != nil {
			return c, n, err
		}
		n += int64(len(text))
		var e entry
		if err := json.Unmarshal(text, &e); err != nil {
			return c, n, fmt.Errorf("reading the audit log: %w", err)
		}
		c.add(e)
	}
}

func (c *counts) add(e entry) {
	if e.Verb == "get" {
		c.gets++
		return
	}
	switch {
	case e.Verb == "delete":
		c.deletes++
	case e.ObjectRef.Resource == "events":
		c.events++
	case e.ObjectRef.Subresource == "status":
		c.statuses++
	default:
		c.applies++
	}
	if e.Status.Code >= 400 {
		c.refused++
	}
}
