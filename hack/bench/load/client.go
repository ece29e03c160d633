package load

import (
	"bufio"
	"bytes"
	"context"
	"errors"
	"fmt"
	"net"
	"strconv"
	"time"
)

// answerTimeout bounds one request: a system that hangs must not hang the run.
const answerTimeout = 15 * time.Second

// client is one keep-alive connection. It speaks just as much HTTP as it takes
// to read short answers, because it shares the processors with what it measures.
type client struct {
	addr string
	conn net.Conn
	r    *bufio.Reader
}

// dial connects, or connects anew.
func (c *client) dial(ctx context.Context) error {
	c.close()
	var d net.Dialer
	conn, err := d.DialContext(ctx, "tcp", c.addr)
	if err != nil {
		return fmt.Errorf("connecting: %w", err)
	}
	c.conn = conn
	if c.r == nil {
		c.r = bufio.NewReaderSize(conn, 8192)
	} else {
		c.r.Reset(conn)
	}
	return nil
}

func (c *client) close() {
	if c.conn != nil {
		c.conn.Close()
		c.conn = nil
	}
}

// send writes one request and reads its answer. After an error, or if the system
// asked for it, the connection is closed, and the next send dials.
func (c *client) send(ctx context.Context, wire []byte) (status int, err error) {
	if c.conn == nil {
		if err := c.dial(ctx); err != nil {
			return 0, err
		}
	}
	defer func() {
		if err != nil {
			c.close()
		}
	}()
	if err := c.conn.SetDeadline(time.Now().Add(answerTimeout)); err != nil {
		return 0, fmt.Errorf("setting deadline: %w", err)
	}
	if _, err := c.conn.Write(wire); err != nil {
		return 0, fmt.Errorf("sending request: %w", err)
	}
	status, stay, err := readAnswer(c.r)
	if err == nil && !stay {
		c.close()
	}
	return status, err
}

var errAnswer = errors.New("not an answer that this client reads")

// readAnswer reads one answer to its end and says whether the connection stays.
// Only answers with a Content-Length are read.
func readAnswer(r *bufio.Reader) (status int, stay bool, err error) {
	line, err := r.ReadSlice('\n')
	if err != nil {
		return 0, false, fmt.Errorf("reading status: %w", err)
	}
	if status, err = parseStatus(line); err != nil {
		return 0, false, err
	}
	length, stay := -1, true
	for {
		line, err = r.ReadSlice('\n')
		if err != nil {
			return status, false, fmt.Errorf("reading header: %w", err)
		}
		line = bytes.TrimRight(line, "\r\n")
		if len(line) == 0 {
			break
		}
		name, value, _ := bytes.Cut(line, []byte(":"))
		switch value = bytes.TrimSpace(value); {
		case bytes.EqualFold(name, []byte("Content-Length")):
			if length, err = strconv.Atoi(string(value)); err != nil {
				return status, false, errAnswer
			}
		case bytes.EqualFold(name, []byte("Connection")):
			stay = !bytes.EqualFold(value, []byte("close"))
		}
	}
	if length < 0 && status != 204 && status != 304 {
		return status, false, errAnswer
	}
	if _, err := r.Discard(max(length, 0)); err != nil {
		return status, false, fmt.Errorf("reading body: %w", err)
	}
	return status, stay, nil
}

// parseStatus reads the three digits of "HTTP/1.1 200 OK".
func parseStatus(line []byte) (int, error) {
	if len(line) < 12 || !bytes.HasPrefix(line, []byte("HTTP/1.")) {
		return 0, errAnswer
	}
	status, err := strconv.Atoi(string(line[9:12]))
	if err != nil || status < 100 {
		return 0, errAnswer
	}
	return status, nil
}
