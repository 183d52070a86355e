// Sends one body with Go's own client and prints what it was told.
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
	size, _ := strconv.Atoi(os.Args[4])
	request, err := http.NewRequest("POST", os.Args[1], bytes.NewReader(bytes.Repeat([]byte(" "), size)))
	if err != nil {
		panic(err)
	}
	request.Header.Set("authorization", "Bearer "+os.Args[2])
	request.Header.Set("content-type", os.Args[3])
	answer, err := http.DefaultClient.Do(request)
	if err != nil {
		panic(err)
	}
	text, err := io.ReadAll(answer.Body)
	if err != nil {
		panic(err)
	}
	wait, told := answer.Header.Get("retry-after"), "nothing"
	if wait == "" {
		wait = "-"
	}
	if bytes.Contains(text, []byte(`"error"`)) {
		told = "error"
	}
	fmt.Println(answer.StatusCode, wait, told)
}
