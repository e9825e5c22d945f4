"""The commonest passwords of at least eight characters, in lower case. They are refused."""

_WORDS = """
00000000 11111111 11223344 12121212 12341234 12344321 123123123 12345678 123456789 1234567890
12345679 1234567a 1234qwer 123qweasd 147258369 1q2w3e4r 1q2w3e4r5t 1qaz2wsx 20202020 66666666
789456123 87654321 88888888 987654321 99999999 a1234567 a12345678 aa123456 aaaaaaaa abc12345
abcd1234 abcdefgh administrator adobe123 airborne alexander america1 asdasdasd asdf1234 asdfasdf
asdfghjk asdfghjkl babygirl baseball basketball batman123 blink182 butterfly changeme charlie1
chocolate computer danielle dragon12 elizabeth facebook fighting1 football footbal1 fuckyou1
gfhjkm123 hello123 helloworld iloveyou iloveyou1 internet jennifer jonathan jordan23 justin12
letmein1 liverpool lovelove marlboro master12 maverick mercedes metallica michelle microsoft
midnight monkey12 mustang1 mypassword p@ssw0rd p@ssword passw0rd password password1 password12
password123 password1234 passwort patricia pokemon1 princess princess1 q1w2e3r4 q1w2e3r4t5
qazwsxedc qqqqqqqq qwer1234 qwerty12 qwerty123 qwertyui qwertyuiop rhksflwk samantha secret12
september shadow12 slipknot snowball sunshine superman superstar sweetheart tkfkdgo1 trustno1
victoria welcome1 welcome123 whatever william1 woaini1314 xxxxxxxx zaq12wsx zxcvbnm1 zxcvbnm123
"""
COMMON_PASSWORDS = frozenset(_WORDS.split())
