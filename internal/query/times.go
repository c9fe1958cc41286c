// Copyright The Tailrace Authors
// SPDX-License-Identifier: Apache-2.0

package query

import (
	"errors"
	"math"
	"strconv"
	"strings"
	"time"
)

var errTime = errors.New("write a time as RFC 3339 (2026-03-01T12:00:00Z), as `now`, or relative to now (-15m, -36h, -7d)")

// The times that a DateTime64(9) holds, with some room.
var (
	minTime = time.Date(1900, 1, 2, 0, 0, 0, 0, time.UTC)
	maxTime = time.Date(2262, 4, 1, 0, 0, 0, 0, time.UTC)
)

// parseTime reads RFC 3339, "now", or a negative duration such as -15m, -1h30m, -7d, -2w before now.
func parseTime(text string, now time.Time) (time.Time, error) {
	if text == "now" {
		return now, nil
	}
	if rest, ok := strings.CutPrefix(text, "-"); ok {
		d, err := parseDuration(rest)
		if err != nil || rest == "" {
			return time.Time{}, errTime
		}
		return clampTime(now.Add(-d)), nil
	}
	// A '+' that was not escaped in a URL arrives as a blank.
	t, err := time.Parse(time.RFC3339Nano, strings.Replace(text, " ", "+", 1))
	if err != nil {
		return time.Time{}, errTime
	}
	if t.Before(minTime) || t.After(maxTime) {
		return time.Time{}, errors.New("the year must be within 1900 and 2262")
	}
	return t.UTC(), nil
}

func clampTime(t time.Time) time.Time {
	if t.Before(minTime) {
		return minTime
	}
	return t
}

var errDuration = errors.New("write a duration with a unit, such as 250ms, 1.5s, 2m, 7d; a bare number is milliseconds")

// parseDuration reads Go's durations and d and w for days and weeks; it never returns a negative one.
func parseDuration(text string) (time.Duration, error) {
	if n, err := strconv.ParseFloat(text, 64); err == nil {
		return fromFloat(n * float64(time.Millisecond))
	}
	var days time.Duration
	rest := text
	for _, unit := range []struct {
		name string
		size time.Duration
	}{{"w", 7 * 24 * time.Hour}, {"d", 24 * time.Hour}} {
		number, after, ok := strings.Cut(rest, unit.name)
		if !ok {
			continue
		}
		n, err := strconv.ParseFloat(number, 64)
		if err != nil {
			return 0, errDuration
		}
		d, err := fromFloat(n * float64(unit.size))
		if err != nil {
			return 0, err
		}
		days += d
		rest = after
	}
	if rest == "" && text != "" {
		return days, nil
	}
	d, err := time.ParseDuration(rest)
	if err != nil || d < 0 || days > math.MaxInt64-d {
		return 0, errDuration
	}
	return days + d, nil
}

func fromFloat(ns float64) (time.Duration, error) {
	if !(ns >= 0 && ns < math.MaxInt64/4) { // NaN, too
		return 0, errDuration
	}
	return time.Duration(ns), nil
}
