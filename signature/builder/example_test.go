package builder_test

import (
	"errors"
	"fmt"
	"time"

	"linkrelay/signature/builder"
)

func ExampleParse() {
	template, err := builder.Parse(`https://api.example.com/v1/data?Expires={hash.getExpiryTime(300);}` +
		`&signedAuthentication={hash.append("0123456789").append(hash.getExpiryTime(300)).encodeHmacSha1("key").encodeBase64().encodeURL().printDigest();}`)
	if err != nil {
		fmt.Println(err)
		return
	}
	url, err := template.Render(time.Unix(1735689600, 0))
	fmt.Println(url, err)
	// Output: https://api.example.com/v1/data?Expires=1735689900&signedAuthentication=AhkTkW6sx6ix5djRjZBS9dsCmzM%3D <nil>
}

func ExampleError() {
	_, err := builder.Parse(`https://api.example.com/?key={hash.append("a1b2").encodeMd5().printDigest();}`)
	fmt.Println(err)
	// Output: line 1, column 63: printDigest(): cannot have the raw bytes that encodeMd5() makes: put toHex() or encodeBase64() in between
}

func ExampleError_Excerpt() {
	template := `https://api.example.com/?key={hash.append("a1b2").encodeMd5().printDigest();}`
	_, err := builder.Parse(template)
	if mistake, ok := errors.AsType[*builder.Error](err); ok {
		fmt.Println(mistake.Excerpt(template))
	}
	// Output:
	// tps://api.example.com/?key={hash.append("****").encodeMd5().printDigest();}
	//                                                             ^
}

// Methods go on from what an encoding made.
func ExampleTemplate_Render() {
	template, err := builder.Parse(`{hash.append("user:pass").encodeMd5().toHex().append(":salt").encodeSha1().toHex().printDigest();}`)
	if err != nil {
		fmt.Println(err)
		return
	}
	fmt.Println(template.Render(time.Now()))
	// Output: 6659336b4392fae96a0d7064afd6d7c3b84ec6ae <nil>
}
