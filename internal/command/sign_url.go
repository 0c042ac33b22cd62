package command

import (
	"errors"
	"fmt"
	"strings"
	"unicode"

	"github.com/spf13/cobra"

	"linkrelay/signature/builder"
)

const signURLExample = `  linkrelay sign url 'https://api.example.com/v1/data?Expires={hash.getExpiryTime(300);}'
  linkrelay sign url --file moz.txt
  printf '%s' "$TEMPLATE" | linkrelay sign url -`

func newSignURLCommand() *cobra.Command {
	var file string
	var clock clockFlag
	cmd := &cobra.Command{
		Use:   "url {TEMPLATE | - | --file FILE}",
		Short: "Render a template of the signed authentication builder",
		Long: "Render a template: what is outside braces is copied, and an expression in braces, such as\n\n" +
			"  {hash.append(\"ID\").appendNewLine().append(hash.getExpiryTime(240))\n" +
			"   .encodeHmacSha256(\"KEY\").encodeBase64().encodeURL().printDigest();}\n\n" +
			"is replaced by what it prints. {hash.getExpiryTime(240);} prints the time itself. Methods, in any number and\n" +
			"order: append(\"…\"), append(hash.getExpiryTime(seconds)), appendNewLine(), encodeMd5(), encodeSha1(),\n" +
			"encodeHmacSha1(\"key\"), encodeHmacSha256(\"key\"), encodeBase64(), encodeURL(), toHex(), and printDigest(); at the\n" +
			"end. In quotes, \\\" is a quote and \\\\ a backslash. A brace of the URL itself is written %7B or %7D.\n\n" +
			"Others on the machine can read command lines: a template with a secret in it belongs into a file, or - for\n" +
			"standard input; a line break at its end is left out.",
		Example: signURLExample,
		RunE: func(cmd *cobra.Command, args []string) error {
			text, err := templateText(cmd, args, file)
			if err != nil {
				return err
			}
			at, err := clock.time()
			if err != nil {
				return err
			}
			template, err := builder.Parse(text)
			if err != nil {
				return explainTemplate(text, err)
			}
			url, err := template.Render(at)
			if err != nil {
				return explainTemplate(text, err)
			}
			if strings.ContainsFunc(url, unicode.IsControl) {
				return errors.New("the result holds a line break or another control character, and is no URL: look outside the braces, and for an appendNewLine() that no encoding follows")
			}
			fmt.Fprintln(cmd.OutOrStdout(), url)
			return nil
		},
	}
	cmd.Flags().StringVar(&file, "file", "", "file with the template; - for standard input")
	clock.register(cmd)
	return cmd
}

func templateText(cmd *cobra.Command, args []string, file string) (string, error) {
	switch {
	case len(args) > 1 || len(args) == 1 && file != "" || len(args) == 0 && file == "":
		return "", usageError{errors.New("linkrelay sign url takes one template: in quotes as the argument, - for standard input, or --file FILE")}
	case len(args) == 1 && args[0] != "-":
		return args[0], nil
	case len(args) == 1:
		file = "-"
	}
	text, err := readInput(cmd, file)
	return strings.TrimSuffix(strings.TrimSuffix(string(text), "\n"), "\r"), err
}

// explainTemplate adds the place of a mistake, with everything blanked that could be a secret.
func explainTemplate(text string, err error) error {
	if mistake, ok := errors.AsType[*builder.Error](err); ok {
		return fmt.Errorf("template, %w\n  %s", err, strings.ReplaceAll(mistake.Excerpt(text), "\n", "\n  "))
	}
	return err
}
