// Sends bodies with Go's own client and prints what it was told of each.
package main

import (
	"bytes"
	"fmt"
	"io"
	"net/http"
	"os"
	"strconv"
)

func main() {
	for given := os.Args[1:]; len(given) >= 6; given = given[6:] {
		told, err := send(given)
		if err != nil {
			told = "lost " + err.Error()
		}
		fmt.Println(told)
	}
}

func send(given []string) (string, error) {
	size, _ := strconv.Atoi(given[3])
	head, tail := []byte(given[4]), []byte(given[5])
	filling := bytes.Repeat([]byte("x"), size-len(head)-len(tail))
	body := append(append(head, filling...), tail...)
	request, err := http.NewRequest("POST", given[0], bytes.NewReader(body))
	if err != nil {
		return "", err
	}
	request.Header.Set("authorization", "Bearer "+given[1])
	request.Header.Set("content-type", given[2])
	answer, err := http.DefaultClient.Do(request)
	if err != nil {
		return "", err
	}
	text, err := io.ReadAll(answer.Body)
	if err != nil {
		return "", err
	}
	wait, told := answer.Header.Get("retry-after"), "nothing"
	if wait == "" {
		wait = "-"
	}
	if bytes.Contains(text, []byte(`"error"`)) {
		told = "error"
	}
	return fmt.Sprintf("%d %s %s", answer.StatusCode, wait, told), nil
}
