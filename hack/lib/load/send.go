package main

import (
	"bufio"
	"encoding/json"
	"os"
	"strconv"
	"sync"
	"time"
)

// A request of the bare loop. Those of one job are sent in their order, different jobs at once.
type request struct {
	Job, Method, Path, Type, Body string
}

func read(file string) [][]request {
	in, err := os.Open(file)
	if err != nil {
		die("%v", err)
	}
	defer in.Close()
	lines := bufio.NewScanner(in)
	lines.Buffer(nil, 16<<20)
	index := map[string]int{}
	var jobs [][]request
	for lines.Scan() {
		var r request
		if err := json.Unmarshal(lines.Bytes(), &r); err != nil {
			die("%s: %v", file, err)
		}
		at, known := index[r.Job]
		if !known {
			at = len(jobs)
			index[r.Job] = at
			jobs = append(jobs, nil)
		}
		jobs[at] = append(jobs[at], r)
	}
	if err := lines.Err(); err != nil {
		die("%s: %v", file, err)
	}
	return jobs
}

func send(s server, file string, connections int) {
	jobs := read(file)
	queue := make(chan []request, len(jobs))
	for _, job := range jobs {
		queue <- job
	}
	close(queue)
	answers := map[string]int{}
	var mutex sync.Mutex
	var group sync.WaitGroup
	began := time.Now()
	for i := 0; i < connections; i++ {
		group.Add(1)
		go func() {
			defer group.Done()
			for job := range queue {
				for _, r := range job {
					status, _, err := s.do(r.Method, r.Path, r.Type, []byte(r.Body))
					word := strconv.Itoa(status)
					if err != nil {
						word = err.Error()
					}
					mutex.Lock()
					answers[word]++
					mutex.Unlock()
				}
			}
		}()
	}
	group.Wait()
	json.NewEncoder(os.Stdout).Encode(map[string]any{
		"seconds": time.Since(began).Seconds(), "answers": answers})
}
