"""``python -m tests.bench``: how fast and how good we are beside other tools, measured in one run on one machine.

Needs ``pip install 'mfcli[bench]'`` and, for the real data, MFCLI_TEST_DATA. Tables are Markdown on standard output.
The process that prints imports nothing large: a child's peak memory starts from its parent's.
"""
