// Copyright The Tailrace Authors
// SPDX-License-Identifier: Apache-2.0

//go:build unix

package torture

import (
	"errors"
	"io"
	"math/rand/v2"
	"os"
	"sync"
	"syscall"
	"time"
)

// Run writes both streams at once, and ends this process.
func (p Plan) Run() {
	var all sync.WaitGroup
	failed := make([]error, 2)
	for stream, to := range []io.Writer{os.Stdout, os.Stderr} {
		all.Go(func() { failed[stream] = p.write(stream, to) })
	}
	all.Wait()
	if errors.Join(failed...) != nil {
		os.Exit(1)
	}
	if p.Kill {
		_ = syscall.Kill(os.Getpid(), syscall.SIGKILL)
		time.Sleep(time.Hour)
	}
	os.Exit(0)
}

// write cuts the stream into writes that have nothing to do with its lines.
func (p Plan) write(stream int, to io.Writer) error {
	cuts := rand.New(rand.NewPCG(p.Seed, uint64(stream)+100))
	first := p.First
	if stream != Stdout {
		first = 0
	}
	lines := NewLines(p.Seed, stream, p.Lines, first)
	var buf []byte
	burst := 0
	for {
		line, ok := lines.Next()
		if !ok {
			break
		}
		buf = append(append(buf, line.Text...), line.End...)
		if len(buf) < burst {
			continue
		}
		var err error
		if buf, err = flush(buf, cuts, to); err != nil {
			return err
		}
		burst = []int{0, 100, 4 << 10, 64 << 10, 256 << 10, 1 << 20}[cuts.IntN(6)]
	}
	for len(buf) > 0 {
		n, err := to.Write(buf)
		if err != nil {
			return err
		}
		buf = buf[n:]
	}
	return nil
}

// flush writes most of buf, and returns the rest.
func flush(buf []byte, cuts *rand.Rand, to io.Writer) ([]byte, error) {
	at := 0
	for at < len(buf) {
		n := len(buf) - at
		switch cuts.IntN(8) {
		case 0:
			n = 1
		case 1:
			n = 1 + cuts.IntN(16)
		case 2:
			n = 1 + cuts.IntN(5000)
		case 3:
			return append(buf[:0], buf[at:]...), nil // the rest comes with what follows
		}
		n = min(n, len(buf)-at)
		if _, err := to.Write(buf[at : at+n]); err != nil {
			return nil, err
		}
		at += n
	}
	return buf[:0], nil
}
