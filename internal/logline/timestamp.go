// Copyright The Tailrace Authors
// SPDX-License-Identifier: Apache-2.0

package logline

import (
	"strings"
	"time"
)

// A time that a line gives counts when it is within nearby of when the line was read. Another one is not the time of
// the line (the due date of a job, say), and would put the record where nobody looks, or where it is deleted at once.
const nearby = 24 * time.Hour

func (p *Parser) near(ns int64) bool {
	d := ns - p.read
	return d <= int64(nearby) && d >= -int64(nearby)
}

// epoch reads the text of a decimal number as a time since 1970: of seconds, milliseconds, microseconds or
// nanoseconds, whatever its size says. ok is false outside the years 2001 to 2262.
func epoch(s string) (ns int64, ok bool) {
	if len(s) == 19 { // nanoseconds do not fit digits
		n, rest := digits(s[:18])
		if rest != "" || s[18]-'0' > 9 || n > 922337203685477579 {
			return 0, false
		}
		return n*10 + int64(s[18]-'0'), true
	}
	whole, rest := digits(s)
	var unit int64
	switch n := len(s) - len(rest); {
	case n < 10 || n > 19:
		return 0, false
	case n <= 10:
		unit = 1e9
	case n <= 13:
		unit = 1e6
	case n <= 16:
		unit = 1e3
	default:
		unit = 1
	}
	if whole > (1<<63-1)/unit-1 {
		return 0, false
	}
	ns = whole * unit
	if rest == "" {
		return ns, true
	}
	if rest[0] != '.' || len(rest) == 1 {
		return 0, false // an exponent, or no number
	}
	for _, c := range []byte(rest[1:]) {
		if c-'0' > 9 {
			return 0, false
		}
		unit /= 10
		ns += int64(c-'0') * unit
	}
	return ns, true
}

// stampText reads a whole string as a date and time.
func (p *Parser) stampText(s string) (ns int64, ok bool) {
	ns, n := p.stamp(s)
	if n == len(s) && ns != 0 {
		return ns, true
	}
	return epoch(s)
}

// stamp reads a date and time at the beginning of s and returns its length, 0 when there is none. Dates are written
// with - or /, then T or a space, the time, a fraction after . or a comma, and a zone, without which the time is local.
// A time without a date gives a length, but no time: ns is 0.
func (p *Parser) stamp(s string) (ns int64, n int) {
	var year, month, day int
	i := 0
	if len(s) >= 19 && (s[4] == '-' || s[4] == '/') && s[7] == s[4] && (s[10] == 'T' || s[10] == ' ') {
		var ok1, ok2, ok3 bool
		var century int
		century, ok1 = two(s)
		year, ok2 = two(s[2:])
		month, ok3 = two(s[5:])
		year += century * 100
		var ok4 bool
		day, ok4 = two(s[8:])
		if !ok1 || !ok2 || !ok3 || !ok4 || year < 1970 || year > 2261 || month < 1 || month > 12 || day < 1 || day > 31 {
			return 0, 0
		}
		i = 11
	}
	clock, frac, n := clock(s[i:])
	if n == 0 {
		return 0, 0
	}
	i += n
	if year == 0 {
		return 0, i
	}
	loc := p.location
	if zone, n := zone(s[i:]); n > 0 {
		i += n
		return time.Date(year, time.Month(month), day, 0, 0, clock-zone, frac, time.UTC).UnixNano(), i
	}
	return time.Date(year, time.Month(month), day, clock/3600, clock/60%60, clock%60, frac, loc).UnixNano(), i
}

// clock reads 15:04:05, with or without a fraction, as seconds of the day and nanoseconds.
func clock(s string) (seconds, frac, n int) {
	if len(s) < 8 || s[2] != ':' || s[5] != ':' {
		return 0, 0, 0
	}
	hour, ok1 := two(s)
	minute, ok2 := two(s[3:])
	second, ok3 := two(s[6:])
	if !ok1 || !ok2 || !ok3 || hour > 23 || minute > 59 || second > 60 {
		return 0, 0, 0
	}
	n = 8
	if len(s) > 9 && (s[8] == '.' || s[8] == ',') && s[9]-'0' < 10 {
		n = 9
		for unit := 100_000_000; n < len(s) && s[n]-'0' < 10; n++ {
			frac += int(s[n]-'0') * unit
			unit /= 10
		}
	}
	return hour*3600 + minute*60 + second, frac, n
}

// zone reads Z, UTC, +01:00, +0100 or -07, after a space or not, as seconds east of UTC.
func zone(s string) (seconds, n int) {
	rest := strings.TrimPrefix(s, " ")
	space := len(s) - len(rest)
	switch {
	case rest == "":
		return 0, 0
	case rest[0] == 'Z' && (len(rest) == 1 || !isWord(rest[1])):
		return 0, space + 1
	case strings.HasPrefix(rest, "UTC") && (len(rest) == 3 || !isWord(rest[3])):
		return 0, space + 3
	case (rest[0] == '+' || rest[0] == '-') && len(rest) >= 3:
		hours, ok := two(rest[1:])
		if !ok || hours > 14 {
			return 0, 0
		}
		n, minutes := 3, 0
		for _, at := range [2]int{3, 4} {
			if at == 4 && (len(rest) < 5 || rest[3] != ':') {
				break
			}
			if m, ok := two(rest[min(at, len(rest)):]); ok && m < 60 {
				n, minutes = at+2, m
				break
			}
		}
		if n == 3 && space > 0 || n < len(rest) && isWord(rest[n]) {
			return 0, 0 // " -12 …" is no zone
		}
		seconds = hours*3600 + minutes*60
		if rest[0] == '-' {
			seconds = -seconds
		}
		return seconds, space + n
	}
	return 0, 0
}

func two(s string) (int, bool) {
	if len(s) < 2 || s[0]-'0' > 9 || s[1]-'0' > 9 {
		return 0, false
	}
	return int(s[0]-'0')*10 + int(s[1]-'0'), true
}

func isWord(c byte) bool { return c-'0' < 10 || c|0x20-'a' < 26 || c == '_' }
