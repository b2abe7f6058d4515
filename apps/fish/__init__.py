"""The fish application: a disk of underwater footage in, tables of counts with their evidence out."""
